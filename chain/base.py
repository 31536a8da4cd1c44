"""Why this module exists: what the rest of the program may ask of a chain, whichever chain it is.

``Chain`` has a real adapter (``chain.web3_chain``) and a shipped fake with the same rules (``chain.fake``). What a
peer wants done is an *intent*: plain data that is written to disk before it is sent, and recognised when sent twice.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from protocol.ids import ZERO_ROOT as ZERO_ROOT
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import Delegation, RoundResult


class Contracts(msgspec.Struct, frozen=True):
    """Where a run lives: the chain and the addresses of its contracts. Part of the join token."""

    chain_id: int
    registry: Address
    clock: Address
    ledger: Address
    pool: Address
    token: Address


class Member(msgspec.Struct, frozen=True):
    """A peer enrolled in the run: who it is, the account that signs for it, the wallet that owns it."""

    peer: PeerId
    signer: Address
    owner: Address
    joined_round: int


class ClockView(msgspec.Struct, frozen=True):
    """The run as the chain sees it at block ``block`` (time ``block_at``, unix seconds).

    Round 0 is the lobby: nobody plays it, and round 1 opens by itself when enough members have enrolled. ``seed`` is
    empty until the block after the round's opening is mined. ``members`` are those of round ``round``, sorted by peer.
    ``settled_round`` and ``credits_root`` are the latest recorded result (0 and ``ZERO_ROOT`` before the first);
    ``data_hash`` names the credit table behind it.
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


class PeerRecord(msgspec.Struct, frozen=True):
    """The registry's entry of a peer id. ``enrolled``: it is a member of the next round."""

    peer: PeerId
    owner: Address
    signer: Address
    enrolled: bool
    claimed_micro: int
    last_seen_round: int = 0


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


class Register(msgspec.Struct, frozen=True, tag=True):
    """Bind ``peer`` to the sending wallet. ``nonce``: registrations of this peer id so far, 0 for the first one.

    ``proof``: the signing account's signature (65 bytes r, s, v) over the registration digest, for both kinds of
    identity: nobody can register an account that is not theirs. A secp256k1 identity key is its own signing account
    and needs no delegation; an RSA identity adds ``delegation``: public key, signing account, RSA signature over the
    same digest.
    """

    peer: PeerId
    nonce: int
    proof: bytes
    delegation: Delegation | None = None


class Enrol(msgspec.Struct, frozen=True, tag=True):
    """Make a registered peer of this wallet a member of the run, from the next round on.

    For a member it renews its presence. That costs a transaction only when half of the rounds after which an absent
    member may be pruned have passed since it was last seen, so a peer may send it every round.
    """

    peer: PeerId


class Settle(msgspec.Struct, frozen=True, tag=True):
    """Record a round's result with its members' signatures (65 bytes each, ordered by signer address)."""

    result: RoundResult
    signatures: tuple[bytes, ...]


class Advance(msgspec.Struct, frozen=True, tag=True):
    """Open the next round because ``round``'s deadline has passed without a result."""

    round: int


class Prune(msgspec.Struct, frozen=True, tag=True):
    """Drop a member that was not seen for too many rounds (it attested no result and renewed no presence)."""

    peer: PeerId


class Claim(msgspec.Struct, frozen=True, tag=True):
    """Pay ``peer``'s owner everything up to ``micro_credits`` that was not yet paid.

    ``proof``: Merkle siblings in hex, from the leaf up, against the latest recorded credits root.
    """

    peer: PeerId
    micro_credits: int
    proof: tuple[ContentId, ...]


Intent = Register | Enrol | Settle | Advance | Prune | Claim


class Chain(Protocol):
    """Every method raises ``ChainUnreachable`` when no endpoint answers and ``ChainError`` on refusal."""

    @property
    def contracts(self) -> Contracts: ...

    async def clock(self) -> ClockView:
        """Round, seed, members and latest result, all read at one block."""
        ...

    async def peer(self, peer: PeerId) -> PeerRecord | None:
        """The registry's entry, or ``None`` when nobody registered that peer id."""
        ...

    async def balance(self, address: Address) -> Balance:
        """Gas money and tokens of an account."""
        ...

    async def send(self, intent: Intent) -> Receipt:
        """Do ``intent`` from this peer's wallet and wait for its receipt.

        An intent that the chain already fulfils (registered to this wallet, enrolled, round already recorded with the
        same result, round already advanced, amount already claimed) returns a receipt with an empty transaction.
        Raises ``ChainError`` with ``reason`` = the contract's error name otherwise.
        """
        ...

    async def block_hash(self, number: int) -> str:
        """The hash of the block that has this number now; empty when there is none."""
        ...

    async def close(self) -> None: ...
