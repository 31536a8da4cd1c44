"""Why this module exists: who proved to the contract that a peer signed twice is known from its events alone.

``Reports`` has a real adapter (``chain.web3_reports``) and a shipped fake (``chain.fake.vault``). A report is made as
an intent, ``Accuse``; what the contract asks of it is said by ``chain/contracts/Equivocation.sol``.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from protocol.ids import Address, ContentId, PeerId


class EquivocationReport(msgspec.Struct, frozen=True):
    """``reporter`` showed the contract that ``peer`` signed both ``first`` and ``second`` as its contribution to
    ``round``. ``slashed_micro``: what the peer lost by it; ``at``: time of the block, unix seconds."""

    peer: PeerId
    round: int
    reporter: Address
    first: ContentId
    second: ContentId
    slashed_micro: int
    transaction: str
    block: int
    at: int

    @property
    def award_micro(self) -> int:
        """The reporter's half of it; the rest was burned (``StakeVault.slash``)."""
        return self.slashed_micro // 2


class Reports(Protocol):
    """Every method raises ``ChainUnreachable`` when no endpoint answers, ``ChainError`` for a foreign contract."""

    async def equivocations(self, since_block: int = 0) -> tuple[EquivocationReport, ...]:
        """All that the contract took in or after ``since_block``, in order. There is one per peer and round at most."""
        ...
