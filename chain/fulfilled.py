"""Why this module exists: sending something twice must be harmless, so everything is looked up before it is sent.

And once more when it was refused: what somebody else did in between counts as done.
"""

from __future__ import annotations

import hashlib

from chain.abi import function
from chain.base import (
    AcceptPeer,
    Accuse,
    Advance,
    Affirm,
    AskForData,
    Challenge,
    Claim,
    ClaimMany,
    Contracts,
    Enrol,
    EpochState,
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
from chain.credit_line import micro_of
from chain.games import game_id
from chain.keys import peer_key
from chain.reader import Reader, address
from chain.requests import DataPart, RequestStage, request_id
from chain.rpc import gather
from chain.transactions import reference
from chain.typed_data import round_result_hash
from protocol.errors import ChainError
from protocol.ids import Address, ContentId, PeerId

SAID_BY_REFUSAL = {"LineNotNewer": RecordReputation, "AlreadyProven": Accuse}
"""Refusals that say that it is done already, where no view does, or none does yet: a node tries a transaction on top of
those that no block has taken, and views know of blocks alone."""


async def is_done(reader: Reader, at: Contracts, wallet: Address, intent: Intent) -> bool:
    """Whether the chain is already in the state that ``intent``, sent from ``wallet``, wants."""
    match intent:
        case Register(peer=peer) | AcceptPeer(peer=peer):
            return await _owner(reader, at, peer) == wallet
        case Rotate(peer=peer, signer=signer):
            view = function("PeerRegistry", "signerOf")
            return address(await reader.read(at.registry, view, peer_key(peer))) == signer
        case OfferPeer(peer=peer, to=to):
            view = function("PeerRegistry", "offeredTo")
            owner, offered = await gather(_owner(reader, at, peer), reader.read(at.registry, view, peer_key(peer)))
            return to in (owner, address(offered))
        case Enrol(peer=peer):
            return await reader.presence_is_fresh(peer, await reader.absence_rounds())
        case Refresh(peer=peer):
            return await _is_refreshed(reader, at, peer)
        case Prune(peer=peer) | Resign(peer=peer):
            standing = await reader.read(at.clock, function("RoundClock", "standing"), peer_key(peer))
            return not standing[0]
        case Stake(peer=peer) | Unstake(peer=peer):
            view = function("StakeVault", "isDone")
            return bool(await reader.read(at.vault, view, peer_key(peer), reference(intent)))
        case Withdraw(peer=peer):
            _, exiting_wei, _ = await reader.read(at.vault, function("StakeVault", "stakeOf"), peer_key(peer))
            return not exiting_wei
        case Advance(round=round):
            return bool(await reader.read(at.clock, function("RoundClock", "round")) > round)
        case Settle(result=result):
            view = function("Contributions", "resultHash")
            return bool(await reader.read(at.contributions, view, result.round) == round_result_hash(result))
        case Include(round=round, peer=peer, content=content):
            return await _is_included(reader, at, round, peer, content)
        case RecordReputation():
            return False
        case Accuse(peer=peer, round=round):
            view = function("Equivocation", "isProven")
            return bool(await reader.read(at.equivocation, view, peer_key(peer), round))
        case OpenEpoch(round=round):
            return (await reader.epochs()).covered_round >= round
        case Claim(peer=peer, line=line):
            view = function("Settlement", "claimedMicro")
            return bool(await reader.read(at.settlement, view, peer_key(peer)) >= micro_of(line))
        case ClaimMany(lines=lines):
            claimed = await reader.claimed([one.peer for one in lines])
            unpaid = [one.peer for paid, one in zip(claimed, lines, strict=True) if paid < micro_of(one.line)]
            return all([await reader.is_passed_over(peer) for peer in unpaid])
        case Challenge(epoch=epoch):
            return await _epoch_is(reader, epoch, EpochState.CHALLENGED, EpochState.FINAL, EpochState.VOID)
        case Affirm(epoch=epoch):
            return await _epoch_is(reader, epoch, EpochState.FINAL)
        case VoidEpoch(epoch=epoch):
            return await _epoch_is(reader, epoch, EpochState.VOID)
        case OpenDispute(contribution=contribution, subject=subject):
            content = ContentId(hashlib.sha256(contribution).hexdigest())
            return (await reader.game_status(game_id(content, subject, wallet))).exists
        case PlayMove(game=game, turn=turn):
            status = await reader.game_status(game)
            return status.is_over or status.moves > turn
        case ExpireDispute(game=game):
            return (await reader.game_status(game)).is_over
        case AskForData(contribution=contribution, part=part, index=index):
            content = ContentId(hashlib.sha256(contribution).hexdigest())
            return await reader.request_stage(request_id(content, DataPart(part), index)) is not None
        case ShowData(request=request) | ExpireRequest(request=request):
            return await reader.request_stage(request) in (RequestStage.SHOWN, RequestStage.WITHHELD)
    raise TypeError(f"Not an intent: {intent!r}")


async def _owner(reader: Reader, at: Contracts, peer: PeerId) -> Address:
    return address(await reader.read(at.registry, function("PeerRegistry", "ownerOf"), peer_key(peer)))


async def _is_refreshed(reader: Reader, at: Contracts, peer: PeerId) -> bool:
    """Whether the account that the registry names has, in the next round, the weight of the peer's stake."""
    standing, signer, round, units = await gather(
        reader.read(at.clock, function("RoundClock", "standing"), peer_key(peer)),
        reader.read(at.registry, function("PeerRegistry", "signerOf"), peer_key(peer)),
        reader.read(at.clock, function("RoundClock", "round")),
        reader.read(at.vault, function("StakeVault", "unitsOf"), peer_key(peer)),
    )
    if not standing[0]:
        return True
    weight = await reader.read(at.clock, function("RoundClock", "weightOfSigner"), signer, round + 1)
    return bool(weight == units)


async def _is_included(reader: Reader, at: Contracts, round: int, peer: PeerId, content: ContentId) -> bool:
    listed = await reader.read(at.contributions, function("Contributions", "inclusions"), round)
    return (peer_key(peer), bytes.fromhex(content)) in [tuple(one) for one in listed]


async def _epoch_is(reader: Reader, number: int, *states: EpochState) -> bool:
    try:
        return (await reader.epoch(number)).state in states
    except ChainError as error:
        if error.reason == "EpochNotOpen":
            return False
        raise
