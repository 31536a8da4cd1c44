"""A chain without a chain, with the contracts' rules, for tests and simulations.

    world        ``FakeWorld``: blocks, time, and the parts below; ``FakeChain``: one wallet's view of it
    ground       what the parts share: rules, block, time, tokens
    registry     peers, owners, signers         (PeerRegistry)
    roster       members and rounds             (RoundClock, Membership)
    vault        stake, and what takes it       (StakeVault, Equivocation, Reputation)
    results      results, quorums, inclusions   (Contributions)
    escrow       epochs and claims              (Settlement)
    disputes     games about contributions      (DisputeGame)

The same behaviour tests run against this and against the real contracts, so the rules here are those of
``chain/contracts``; refusals carry the same names. Signatures, proofs and digests are real. There are no fees.
"""

from chain.fake.world import FakeChain, FakeWorld

__all__ = ["FakeChain", "FakeWorld"]
