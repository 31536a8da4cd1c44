"""The three-stage game as pure functions: answer, critique, decide.

cohort      who plays with whom, letters, which sample is shown: drawn by the round's seed
prompts     what a peer is asked; peers' words made harmless
round_view  everything received in a round -> prompts, seeds and requests per stage
rescore     batches: built, checked, scored, by one path for players and re-scorers
recap       one question of a round in full, for display
"""
