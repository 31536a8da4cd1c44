"""Why this module exists: what the rest of the program may ask of a chain, whichever chain it is.

``Chain`` has a real adapter (``chain.web3_chain``) and a shipped fake with the same rules (``chain.fake``). What a
peer wants done is an *intent* (``chain.intents``): written to disk before it is sent, and recognised when sent twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from chain.games import Games
from chain.intents import (
    AcceptPeer,
    Accuse,
    Advance,
    Affirm,
    AskForData,
    Challenge,
    Claim,
    ClaimLine,
    ClaimMany,
    Enrol,
    ExpireDispute,
    ExpireRequest,
    Include,
    Intent,
    OfferPeer,
    OpenDispute,
    OpenEpoch,
    PlayMove,
    Prune,
    RecordReputation,
    Refresh,
    Register,
    Resign,
    Rotate,
    Settle,
    ShowData,
    Stake,
    Unstake,
    VoidEpoch,
    Withdraw,
)
from chain.reports import Reports
from chain.requests import Requests
from protocol.ids import ZERO_ROOT as ZERO_ROOT
from protocol.ids import Address, ContentId, PeerId

WEI_PER_MICRO = 10**12
"""Token units per millionth of a token, and so of a credit."""


__all__ = [
    "WEI_PER_MICRO",
    "ZERO_ROOT",
    "AcceptPeer",
    "Accuse",
    "Advance",
    "Affirm",
    "AskForData",
    "Balance",
    "Chain",
    "Challenge",
    "Claim",
    "ClaimLine",
    "ClaimMany",
    "ClockView",
    "Contracts",
    "Cost",
    "Enrol",
    "Epoch",
    "EpochState",
    "EpochsView",
    "ExpireDispute",
    "ExpireRequest",
    "Include",
    "Intent",
    "Member",
    "OfferPeer",
    "OpenDispute",
    "OpenEpoch",
    "PeerRecord",
    "PlayMove",
    "Prune",
    "Receipt",
    "RecordReputation",
    "Refresh",
    "Register",
    "Resign",
    "Rotate",
    "Settle",
    "ShowData",
    "Stake",
    "Unstake",
    "VoidEpoch",
    "Withdraw",
]


class Contracts(msgspec.Struct, frozen=True):
    """Where a run lives: the chain and the addresses of its contracts. Part of the join token.

    ``registry``, ``token`` and ``factory`` serve every run of the chain, the others this one.
    """

    chain_id: int
    registry: Address
    token: Address
    factory: Address
    clock: Address
    contributions: Address
    settlement: Address
    vault: Address
    reputation: Address
    equivocation: Address
    disputes: Address
    requests: Address


class Member(msgspec.Struct, frozen=True):
    """A peer enrolled in the run: who it is, the account that signs for it, the wallet that owns it, and its weight in
    votes and draws (1 or more, by its stake)."""

    peer: PeerId
    signer: Address
    owner: Address
    joined_round: int
    weight: int = 1


class ClockView(msgspec.Struct, frozen=True):
    """The run as the chain sees it at block ``block`` (time ``block_at``, unix seconds).

    Round 0 is the lobby: nobody plays it, and round 1 opens by itself when enough members have enrolled. ``seed`` is
    empty until the block after the round's opening is mined. ``members`` are those of round ``round``, sorted by peer,
    and ``total_weight`` is the sum of their weights. ``settled_round`` and ``credits_root`` are the latest recorded
    result (0 and ``ZERO_ROOT`` before the first); ``data_hash`` names the credit table behind it. ``inclusions``: who
    stated on the chain which contribution to this round is its own.
    """

    block: int
    block_at: int
    round: int
    opened_at: int
    closes_at: int
    seed: str
    members: tuple[Member, ...]
    settled_round: int
    credits_root: ContentId
    data_hash: ContentId
    total_weight: int = 0
    inclusions: tuple[tuple[PeerId, ContentId], ...] = ()


class PeerRecord(msgspec.Struct, frozen=True):
    """What the contracts know of a peer id.

    ``enrolled``: it is a member of the next round, with ``weight``. ``last_seen_round``: when it enrolled or renewed
    its presence last. ``stake_micro`` counts; ``exiting_micro`` may be withdrawn from ``exit_ready_at`` (unix seconds)
    on. Until ``barred_until`` (a round) it cannot enrol. ``nonce``: its registrations and rotations so far.
    """

    peer: PeerId
    owner: Address
    signer: Address
    enrolled: bool
    claimed_micro: int
    last_seen_round: int = 0
    stake_micro: int = 0
    exiting_micro: int = 0
    exit_ready_at: int = 0
    barred_until: int = 0
    weight: int = 0
    nonce: int = 1

    @property
    def liable_micro(self) -> int:
        """All that a court could take now: stake that is on its way out is liable until it has left."""
        return self.stake_micro + self.exiting_micro


class EpochState(StrEnum):
    """An epoch is open to challenges, challenged, final (it will be or is paid), or void (undone)."""

    OPEN = "open"
    CHALLENGED = "challenged"
    FINAL = "final"
    VOID = "void"


class Epoch(msgspec.Struct, frozen=True):
    """What is paid out together: everything recorded up to ``round``, by the root of that round's credit table.

    ``data_hash`` names that table. ``unlocks_at`` (unix seconds): from when a final one can be claimed; ``answer_by``:
    until when a challenged one can be affirmed (0: nobody challenged it).
    """

    number: int
    round: int
    credits_root: ContentId
    total_micro: int
    opened_at: int
    unlocks_at: int
    state: EpochState
    data_hash: ContentId
    answer_by: int = 0


class EpochsView(msgspec.Struct, frozen=True):
    """At block time ``block_at``: the newest epoch, whatever its state, and the newest one that can be claimed.

    ``covered_round``: up to which recorded round there is an epoch that is not void. ``final_round``, ``final_root``:
    of the last final epoch, unlocked or not (0 and ``ZERO_ROOT`` before the first): what it says of peers' work stands.
    ``ends_at``: when the run ends; 0: nobody stopped it.
    """

    block_at: int
    newest: Epoch | None
    claimable: Epoch | None
    covered_round: int
    final_round: int = 0
    final_root: ContentId = ZERO_ROOT
    ends_at: int = 0

    @property
    def paid_round(self) -> int:
        """Round of the newest epoch that is paid: work of earlier rounds cannot be disputed any more."""
        return self.claimable.round if self.claimable is not None else 0


class Balance(msgspec.Struct, frozen=True):
    """Of a wallet: gas money and swarm tokens, both in wei."""

    gas_wei: int
    token_wei: int


class Receipt(msgspec.Struct, frozen=True):
    """A mined transaction. ``transaction`` is empty when the chain was already in the wanted state, at block ``block``.

    ``block_hash`` says which block of that number it was; empty on a chain that never loses blocks.
    """

    transaction: str
    gas: int
    block: int
    block_hash: str = ""


class Cost(msgspec.Struct, frozen=True):
    """What sending an intent would take: gas, and the fee at the present price. Both 0 when it is done already."""

    gas: int
    fee_wei: int


class Chain(Protocol):
    """Every method raises ``ChainUnreachable`` when no endpoint answers and ``ChainError`` on refusal."""

    @property
    def contracts(self) -> Contracts: ...

    @property
    def games(self) -> Games:
        """The run's disputes."""
        ...

    @property
    def requests(self) -> Requests:
        """The run's requests for withheld data."""
        ...

    @property
    def reports(self) -> Reports:
        """The run's reports of peers that signed two contributions for one round."""
        ...

    async def clock(self) -> ClockView:
        """Round, seed, members and latest result, all read at one block."""
        ...

    async def peer(self, peer: PeerId) -> PeerRecord | None:
        """The contracts' entry, or ``None`` when nobody registered that peer id."""
        ...

    async def claimed(self, peers: Sequence[PeerId]) -> tuple[int, ...]:
        """What each of ``peers`` was paid so far, in millionths of a token, all read at one block."""
        ...

    async def balance(self, address: Address) -> Balance:
        """Gas money and tokens of an account."""
        ...

    async def epochs(self) -> EpochsView:
        """What is being paid out."""
        ...

    async def send(self, intent: Intent) -> Receipt:
        """Do ``intent`` from this peer's wallet and wait for its receipt.

        An intent that the chain already fulfils (each one says when) returns a receipt with an empty transaction.
        Raises ``ChainError`` with ``reason`` = the contract's error name otherwise.
        """
        ...

    async def estimate(self, intent: Intent) -> Cost:
        """What ``send`` would cost now; nothing is sent. Raises like ``send`` when it would be refused."""
        ...

    async def block_hash(self, number: int) -> str:
        """The hash of the block that has this number now; empty when there is none."""
        ...

    async def close(self) -> None: ...
