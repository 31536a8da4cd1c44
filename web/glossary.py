"""Why this module exists: every word and number on the page is explained in a sentence, on the page itself.

Keys are the anchors that column heads link to. The program's whole vocabulary is in docs/glossary.md.
"""

from __future__ import annotations

TERMS: dict[str, tuple[str, str]] = {
    "peer": ("Peer", "One participant: a process with an identity, a wallet, a model and a place in the swarm."),
    "nickname": ("Nickname", "Three words computed from the peer id, the same for everyone. Two peers may share one; "
                             "the id decides."),
    "peer-id": ("Peer id", "A peer's public name, made from its public key. Nobody can choose somebody else's."),
    "credits": ("Credits", "All that was paid to a peer in this run. One credit is one token. The number is the sum of "
                           "the peer's lines in an append-only ledger, and equals what the chain recorded."),
    "pending": ("Pending", "Earned, and paid with a later result unless a spot-check strikes it."),
    "claimed": ("Claimed", "Credits that became tokens in the owner's wallet, by a Merkle proof."),
    "rounds": ("Rounds", "Recorded contributions: rounds in which the peer's work is part of the result."),
    "round": ("Round", "One pass through answer, critique and decide, numbered and timed by the chain."),
    "score": ("Mean score", "What a peer's rollouts scored on average, 0 to 1, over all three stages; a stage that was "
                            "not played counts 0. It was computed again here from the rollouts; what a peer says of "
                            "itself is not used."),
    "audits": ("Audits", "Spot-checks by drawn peers, who do a part of the work again: passed, and struck. Struck work "
                         "is never paid."),
    "standing": ("Standing", "Reputation, 0 to 1: grows with contributions, falls with absence and, by half, when work "
                             "is struck. It sets how often a peer is checked and drawn."),
    "last-seen": ("Last seen", "When the peer last signed that it is there, or contributed."),
    "settled": ("Settled", "The result of a round is recorded on the chain, signed by a quorum of its members."),
    "poster": ("Poster", "The member that was drawn to propose a round's result."),
    "epoch": ("Epoch", "Settled rounds that are paid out together. It can be challenged before it is final."),
    "contribution": ("Contribution", "A peer's signed account of its work in a round. The way to pay: published, kept "
                                     "by others, scored again, recorded, checked, paid, claimed."),
    "kept": ("Kept", "Others that signed that they have the contribution's state and rollouts and serve them."),
    "verdict": ("Verdict", "What somebody drawn found when it did a part of the work again: match, mismatch, or "
                           "unavailable. Level 0: scores, 1: rollouts, 2: the training step."),
    "struck": ("Struck", "An accusation was confirmed: the work is not paid, and its peer goes back to the state "
                         "before."),
    "dispute": ("Dispute", "An objection that the chain decides: a bisection about one contribution, a proof that a "
                           "peer signed two contributions for one round, or a challenge to a payout."),
    "stage": ("Stage", "Answer: every peer answers. Critique: it judges an answer of each. Decide: it answers again, "
                       "knowing the critiques."),
    "rollout": ("Rollout", "One completion that a model wrote. The feed shows those that the others were shown."),
    "recomputed": ("Recomputed", "The strongest check: from the signed records, the rollouts and the verdicts, the "
                                 "whole ledger of the round was computed again here and has the recorded root."),
    "sampled": ("Sampled", "The index was catching up: all signatures, hashes and roots of the round were checked, and "
                           "the contributions of a cohort that the round's seed draws were scored again; they earned "
                           "what was recorded."),
    "root": ("Root checked", "The credit table has the hash, the root and the total that the chain recorded, but not "
                             "everything behind it could be had."),
    "differs": ("Differs", "What the chain recorded is not what follows from the public records. Ask the members why."),
    "unseen": ("Not seen", "Nobody serves the round's credit table any more. The next one that is seen accounts for "
                           "it, so totals stay right."),
    "undone": ("Undone", "The chain took the result back, because a challenged epoch was affirmed by nobody."),
    "stale": ("Stale", "The index could not read everything for over a minute. What is shown was true then."),
}  # fmt: skip
