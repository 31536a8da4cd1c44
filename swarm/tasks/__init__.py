"""What is asked, and what is right.

base            the ``Task`` protocol: seeded questions and a judge
families        which reasoning-gym families a run may use, and how each is verified
reasoning_gym   a ``Task`` over a weighted mix of families
questions       somebody's own questions as one blob that is the same for all
reading         files and hub data sets -> pairs of question and answer
own             a ``Task`` over such a set
files           question sets on disk, for restarts and for others
registry        a name or a file -> task spec -> task
"""
