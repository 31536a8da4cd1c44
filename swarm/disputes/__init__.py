"""Why this package exists: a lie that was found is taken before the contract, and an honest peer defends itself.

dossier   a contribution with all that a game about it may need       archive   dossiers and states, on disk
hand      what one side holds: a trace, and what it starts from       plan      what is to be done next; pure
dealer    hands, made once for all games about the same               accusing  what was found becomes games, or not
ordering  what people ask for                                         player    looks at the chain, and plays
telling   games as events for every display                           words     games in words
equivocation  who signed twice is shown to the contract               evidence  both signatures, on disk
reported  what the contract took of that, as events
"""
