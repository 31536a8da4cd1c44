"""Group-relative policy optimisation as functions: scores in, changed weights out.

advantage  scores of a group to advantages
mixing     which of the others' rollouts enter a group (SAPO)
loss       clipped token losses and how they add up
adamw      the optimiser and its state
step       one round's updates, in an order that a seed fixes
"""
