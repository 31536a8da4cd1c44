"""Judges that run something: what parsing alone cannot decide is decided in other processes, under limits.

cell           what locks a process up, from inside: no network, no processes, nothing to write to (runs there alone)
cell_main      a cell's program: calls somebody's function with given arguments, says what came back
protection     whether this machine can lock a process up, and what is missing where it cannot
sandbox        code and calls -> what came back, or why nothing did
math_worker    the program of a process that compares mathematical expressions
math_pool      such processes, with a limit each, replaced when they are killed
tests_of_code  ``assert f(1) == 2`` -> a call that is made in a cell, and a value that never goes there
judged         question, answer -> score and reason, each pair once
"""
