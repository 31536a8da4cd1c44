"""The bundled model, and how it was made.

tiny        weights, tokenizer, model card
tokenizer   its small byte-level BPE with one token per digit, tag and fixed phrase
examples    supervised examples of the three stages, made from the task's own generator
recipe      ``python -m models.recipe --out DIR --seed 0``: data -> tokenizer -> model -> measured card
"""
