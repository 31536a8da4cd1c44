"""Why this module exists: whatever a peer wants done on the chain is plain data first.

So it can be written to disk before it is sent, and recognised when it is sent twice: each intent says when the chain
already is in the state that it wants. Amounts are millionths of a token; proofs are Merkle siblings in hex, from the
leaf up; signatures have 65 bytes r, s, v.
"""

from __future__ import annotations

import msgspec

from protocol.ids import ZERO_ROOT, Address, ContentId, PeerId
from protocol.messages import Delegation, RoundResult

# --- who is who ------------------------------------------------------------------------------------------------------


class Register(msgspec.Struct, frozen=True, tag=True):
    """Bind ``peer`` to the sending wallet. ``nonce``: registrations and rotations so far, 0 for the first one.

    ``proof``: the signing account's signature over the registration digest, for both kinds of identity: nobody can
    register an account that is not theirs. A secp256k1 identity key is its own signing account and needs no
    delegation; an RSA identity adds ``delegation``: public key, signing account, RSA signature over the same digest.
    Done when the peer is this wallet's.
    """

    peer: PeerId
    nonce: int
    proof: bytes
    delegation: Delegation | None = None


class Rotate(msgspec.Struct, frozen=True, tag=True):
    """Let another account sign for this wallet's peer; ``proof`` is its own signature over the registration digest
    with ``nonce``. The former account stays the peer's for ever. Done when ``signer`` signs for the peer."""

    peer: PeerId
    signer: Address
    nonce: int
    proof: bytes


class OfferPeer(msgspec.Struct, frozen=True, tag=True):
    """Offer this wallet's peer to the wallet ``to``; nothing changes until that one accepts. Done once it is offered to
    ``to``, or owned by it."""

    peer: PeerId
    to: Address


class AcceptPeer(msgspec.Struct, frozen=True, tag=True):
    """Take over a peer that was offered to this wallet. Done when it is this wallet's."""

    peer: PeerId


# --- being a member --------------------------------------------------------------------------------------------------


class Enrol(msgspec.Struct, frozen=True, tag=True):
    """Make a registered, staked peer of this wallet a member of the run, from the next round on.

    For a member it renews its presence, which matters only while no result is recorded: done for a member unless more
    than half of the rounds after which it may be pruned passed since the last result and its last renewal.
    """

    peer: PeerId


class Refresh(msgspec.Struct, frozen=True, tag=True):
    """Let a member sign with the account that the registry names, and weigh what its stake is worth, from the next
    round on. Anybody may. Done when both are so, and for who is no member."""

    peer: PeerId


class Resign(msgspec.Struct, frozen=True, tag=True):
    """Take this wallet's peer out from the next round on. Done when it is no member of the next round."""

    peer: PeerId


class Prune(msgspec.Struct, frozen=True, tag=True):
    """Drop a member that is gone, or of bad standing. Anybody may. Done when it is no member of the next round.

    With a ``line`` and its ``proof`` against the root of the last final epoch, that line decides; without (``line`` 0),
    it is for a swarm that records no results any more, and drops whoever did not renew its presence.
    """

    peer: PeerId
    line: int = 0
    proof: tuple[ContentId, ...] = ()


class Stake(msgspec.Struct, frozen=True, tag=True):
    """Deposit ``amount_micro`` for ``peer``. ``number`` tells deposits apart: done when this one was made."""

    peer: PeerId
    amount_micro: int
    number: int


class Unstake(msgspec.Struct, frozen=True, tag=True):
    """Begin to take ``amount_micro`` of this wallet's peer's stake out; it stays liable until it may be withdrawn.
    ``number`` tells requests apart: done when this one was made."""

    peer: PeerId
    amount_micro: int
    number: int


class Withdraw(msgspec.Struct, frozen=True, tag=True):
    """Pay out to the owner what left the stake and is not liable any more. Done when nothing is leaving it."""

    peer: PeerId


# --- rounds ----------------------------------------------------------------------------------------------------------


class Settle(msgspec.Struct, frozen=True, tag=True):
    """Record a round's result with its members' signatures, ordered by signer address. ``poster``: this wallet's member
    that posts it. Done when exactly this result is recorded for its round."""

    result: RoundResult
    signatures: tuple[bytes, ...]
    poster: PeerId


class Advance(msgspec.Struct, frozen=True, tag=True):
    """Open the next round because ``round``'s deadline has passed without a result. Done when it is not current."""

    round: int


class Include(msgspec.Struct, frozen=True, tag=True):
    """State on the chain that ``content`` is this wallet's peer's contribution to the open round, because proposals
    leave it out. Done when it stands there."""

    round: int
    peer: PeerId
    content: ContentId


class RecordReputation(msgspec.Struct, frozen=True, tag=True):
    """Write a peer's ``line`` of the latest credits tree down for others to read. Done when its line as of the latest
    result stands there."""

    peer: PeerId
    line: int
    proof: tuple[ContentId, ...]


class Accuse(msgspec.Struct, frozen=True, tag=True):
    """Prove that a peer signed two different records where it may sign one: its stake is taken and it is out.

    Contents are the hashes that the two record signatures cover. Done when that round's offence is on record.
    """

    peer: PeerId
    kind: str
    round: int
    content_a: ContentId
    signature_a: bytes
    content_b: ContentId
    signature_b: bytes


# --- disputes --------------------------------------------------------------------------------------------------------


class OpenDispute(msgspec.Struct, frozen=True, tag=True):
    """Open a game about a contribution, with the run's bond. Anybody may. Done when the game is there.

    ``contribution``: its canonical bytes, ``signature`` its record's; both sides' words are those that its ``work`` is
    the hash of. ``subject``: ``chain.games.WHOLE_STEP``, or the index of a draw, which then is shown by its program,
    data and proof under ``draws``.
    """

    peer: PeerId
    round: int
    contribution: bytes
    signature: bytes
    state_before: ContentId
    state_after: ContentId
    step_program: ContentId
    step_data: ContentId
    draws: ContentId
    subject: int = -1
    draw_program: ContentId = ZERO_ROOT
    draw_data: ContentId = ZERO_ROOT
    draw_proof: tuple[ContentId, ...] = ()


class PlayMove(msgspec.Struct, frozen=True, tag=True):
    """Send ``call``, a move made by ``verde.bisect.calldata``, as the move after ``turn`` others. Done when the game
    has more moves than that, or is over."""

    game: ContentId
    turn: int
    call: bytes


class ExpireDispute(msgspec.Struct, frozen=True, tag=True):
    """Close a game whose deadline has passed, by ``call`` (``verde.bisect.calldata.expiry``). Anybody may. Done when it
    is over."""

    game: ContentId
    call: bytes


# --- pay -------------------------------------------------------------------------------------------------------------


class OpenEpoch(msgspec.Struct, frozen=True, tag=True):
    """Begin to pay out what is recorded up to ``round``. Anybody may. Done when an epoch reaches that round."""

    round: int


class Challenge(msgspec.Struct, frozen=True, tag=True):
    """Put up the bond against an open epoch. Done when the epoch is no longer open and unchallenged."""

    epoch: int


class Affirm(msgspec.Struct, frozen=True, tag=True):
    """Answer a challenge with signatures of more than half of the round's whole weight. Done when it is final."""

    epoch: int
    result: RoundResult
    signatures: tuple[bytes, ...]


class VoidEpoch(msgspec.Struct, frozen=True, tag=True):
    """Undo a challenged epoch that nobody affirmed in time. Done when it is undone."""

    epoch: int


class Claim(msgspec.Struct, frozen=True, tag=True):
    """Pay ``peer``'s owner everything up to the pay in ``line`` that was not yet paid. Anybody may.

    ``line`` and ``proof`` belong to the credits root of ``epoch``, which must be unlocked. Done when as much is paid.
    """

    peer: PeerId
    line: int
    epoch: int
    proof: tuple[ContentId, ...]


class ClaimLine(msgspec.Struct, frozen=True):
    """A peer's ``line`` in the table that an epoch pays, with its ``proof``."""

    peer: PeerId
    line: int
    proof: tuple[ContentId, ...]


class ClaimMany(msgspec.Struct, frozen=True, tag=True):
    """``Claim`` for several peers in one transaction, which costs less than half of what one by one does. Anybody may.

    Who was paid already is passed over. Done when each of them is paid as much as its line says.
    """

    epoch: int
    lines: tuple[ClaimLine, ...]


class AskForData(msgspec.Struct, frozen=True, tag=True):
    """Ask for a piece of ``peer``'s contribution to ``round`` that nobody serves, with a bond of one credit.

    ``contribution``: canonical bytes of the record, ``signature``: 65 bytes by the peer over it. ``part`` and
    ``index``: which piece (``chain.requests.DataPart``); for a chunk of a state, ``line`` and ``proof`` show that the
    run's first state has a chunk with that number. Done when that piece was asked for, by whomever.
    """

    peer: PeerId
    round: int
    contribution: bytes
    signature: bytes
    part: int
    index: int
    line: ContentId = ZERO_ROOT
    proof: tuple[ContentId, ...] = ()


class ShowData(msgspec.Struct, frozen=True, tag=True):
    """Show the piece that was asked for: ``data``, the chunk's or rollout's bytes; for a chunk, ``pieces``, the root
    over its pieces; and the line's ``proof``. Anybody may. Done when the request is over."""

    request: ContentId
    data: bytes
    pieces: ContentId
    proof: tuple[ContentId, ...]


class ExpireRequest(msgspec.Struct, frozen=True, tag=True):
    """End a request that nobody answered in time: the peer loses its stake. Anybody may. Done when it is over."""

    request: ContentId


Intent = (
    Register
    | Rotate
    | OfferPeer
    | AcceptPeer
    | Enrol
    | Refresh
    | Resign
    | Prune
    | Stake
    | Unstake
    | Withdraw
    | Settle
    | Advance
    | Include
    | RecordReputation
    | Accuse
    | OpenEpoch
    | Challenge
    | Affirm
    | VoidEpoch
    | Claim
    | ClaimMany
    | OpenDispute
    | PlayMove
    | ExpireDispute
    | AskForData
    | ShowData
    | ExpireRequest
)
