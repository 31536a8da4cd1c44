"""What a completion is worth, in thousandths. Pure; knows no model, network or task library.

verifiers   (answer, truth) -> milli, by parsing
logic       propositional formulas for one of them
format      tags of the three stages: what they say, how well the form was kept
stages      the three stage scores and the critiques' majority
plain       peers' text made harmless for prompts and terminals
"""
