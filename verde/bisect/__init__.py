"""Why this package exists: two traces of one step become one number that a contract can compute, in a few moves.

terms       what both sides agree on before anything is played
moves       what they may do
game        the rules: a pure state machine with deadlines
openings    pieces shown against what was agreed
challenger  plays for who found a difference; defender plays for who is accused
cost        how many moves a game has, and what they cost on a chain
"""
