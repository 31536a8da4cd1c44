"""What is asked, and what is right.

base            the ``Task`` protocol: seeded questions and a judge
families        which reasoning-gym families a run may use, and how each is verified
reasoning_gym   a ``Task`` over a weighted mix of families
registry        a name or a YAML file -> task spec -> task
"""
