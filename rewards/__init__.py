"""What work is worth: from verified contributions to a root that a majority signed and a payout that anybody can prove.

    scoring     what a completion is worth, in thousandths
    ledger      scores of a round -> credits -> the cumulative table and its Merkle roots (pure, integers only)
    settlement  what a member does to agree on a round's result, and what a peer may claim (pure)
    outbox      chain intents that survive ``kill -9`` until the chain has them for good

Claimed scores enter nowhere: all of it starts from what a member recomputed itself.
"""
