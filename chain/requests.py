"""Why this module exists: who withholds what it committed to can be asked for it on the chain, and everybody sees it.

``Requests`` has a real adapter (``chain.web3_requests``) and a shipped fake (``chain.fake.requests``). Requests are
made, answered and ended as intents: ``AskForData``, ``ShowData``, ``ExpireRequest``. What a piece is and how it is
proved is said by ``chain/contracts/DataRequests.sol``.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Protocol

import msgspec
from eth_abi.abi import encode
from eth_hash.auto import keccak

from protocol.ids import Address, ContentId, PeerId

BOND_MICRO = 1_000_000
"""What who asks puts at stake: one credit. It is burned when the piece is shown, and comes back when it is not."""

MAX_OPEN = 4
"""So many requests about one peer are open at a time, at most."""


class DataPart(IntEnum):
    """Kinds of pieces, by the contract's numbers: a chunk of the state before or after, or one rollout."""

    STATE_BEFORE = 0
    STATE_AFTER = 1
    ROLLOUT = 2


class RequestStage(StrEnum):
    """Where a request is."""

    OPEN = "open"
    SHOWN = "shown"
    WITHHELD = "withheld"


class RequestRecord(msgspec.Struct, frozen=True):
    """A request as it stands on the chain: piece ``index`` of ``part`` of ``content``, ``peer``'s contribution to
    ``round``, is to be shown until ``answer_by`` (unix seconds)."""

    request: ContentId
    peer: PeerId
    round: int
    content: ContentId
    part: DataPart
    index: int
    asker: Address
    answer_by: int
    stage: RequestStage
    opened_block: int = 0


class Requests(Protocol):
    """Every method raises ``ChainUnreachable`` when no endpoint answers, ``ChainError`` for a foreign contract."""

    async def requests(self, since_block: int = 0) -> tuple[RequestRecord, ...]:
        """All requests that were made in or after ``since_block``, in order, each as it stands now."""
        ...

    async def answer_s(self) -> int:
        """Seconds in which a piece must be shown."""
        ...


def request_id(content: ContentId, part: DataPart, index: int) -> ContentId:
    """The name of a request, known before it is made: there is one per contribution and piece."""
    return ContentId(keccak(encode(["bytes32", "uint8", "uint32"], [bytes.fromhex(content), part, index])).hex())
