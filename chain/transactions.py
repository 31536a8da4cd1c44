"""Why this module exists: what a peer wants done, as call data for the contract that does it.

Pure, apart from reading the artifacts. What cannot be encoded at all is refused here with the name that a contract
would have used.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from chain.abi import Refusal, function
from chain.base import (
    WEI_PER_MICRO,
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
from chain.keys import compact_signature, peer_key, public_key_xy, rsa_modulus, secp256k1_of_peer
from chain.refusals import chain_error
from protocol.errors import BadRecord, ChainError
from protocol.ids import Address, ContentId
from protocol.messages import RoundResult

Call = tuple[Address, str]
"""A contract and the call data for it, ``0x`` hex."""


def transaction(at: Contracts, intent: Intent) -> Call:
    """The call that does ``intent``. Raises ``ChainError('ProofRejected')`` for what cannot be encoded.

    A stake needs an allowance first, or goes by ``stake_with_permit``; challenges and disputes need one for their bond.
    """
    match intent:
        case Register():
            return at.registry, _register_data(intent)
        case Rotate(peer=peer, signer=signer, nonce=nonce, proof=proof):
            r, vs = _compact(proof)
            return at.registry, _data("PeerRegistry", "rotateSigner", peer_key(peer), signer, nonce, r, vs)
        case OfferPeer(peer=peer, to=to):
            return at.registry, _data("PeerRegistry", "offerPeer", peer_key(peer), to)
        case AcceptPeer(peer=peer):
            return at.registry, _data("PeerRegistry", "acceptPeer", peer_key(peer))
        case Enrol(peer=peer):
            return at.clock, _data("RoundClock", "enrol", peer_key(peer))
        case Refresh(peer=peer):
            return at.clock, _data("RoundClock", "refresh", peer_key(peer))
        case Resign(peer=peer):
            return at.clock, _data("RoundClock", "resign", peer_key(peer))
        case Prune(peer=peer, line=0):
            return at.clock, _data("RoundClock", "prune", peer_key(peer))
        case Prune(peer=peer, line=line, proof=siblings):
            return at.reputation, _data("Reputation", "eject", peer_key(peer), line, _nodes(siblings))
        case RecordReputation(peer=peer, line=line, proof=siblings):
            return at.reputation, _data("Reputation", "record", peer_key(peer), line, _nodes(siblings))
        case Stake(peer=peer, amount_micro=amount_micro):
            amount_wei = amount_micro * WEI_PER_MICRO
            return at.vault, _data("StakeVault", "deposit", peer_key(peer), amount_wei, reference(intent))
        case Unstake(peer=peer, amount_micro=amount_micro):
            amount_wei = amount_micro * WEI_PER_MICRO
            return at.vault, _data("StakeVault", "requestExit", peer_key(peer), amount_wei, reference(intent))
        case Withdraw(peer=peer):
            return at.vault, _data("StakeVault", "withdraw", peer_key(peer))
        case Advance(round=round):
            return at.clock, _data("RoundClock", "advance", round)
        case Settle(result=result, signatures=signatures, poster=poster):
            compact = [_compact(signature) for signature in signatures]
            return at.contributions, _data("Contributions", "post", fields(result), peer_key(poster), compact)
        case Include(round=round, peer=peer, content=content):
            return at.contributions, _data("Contributions", "include", round, peer_key(peer), bytes.fromhex(content))
        case OpenEpoch():
            return at.settlement, _data("Settlement", "openEpoch")
        case Challenge(epoch=epoch):
            return at.settlement, _data("Settlement", "challenge", epoch)
        case Affirm(epoch=epoch, result=result, signatures=signatures):
            compact = [_compact(signature) for signature in signatures]
            return at.settlement, _data("Settlement", "affirm", epoch, fields(result), compact)
        case VoidEpoch(epoch=epoch):
            return at.settlement, _data("Settlement", "voidEpoch", epoch)
        case Claim(peer=peer, line=line, epoch=epoch, proof=siblings):
            return at.settlement, _data("Settlement", "claim", peer_key(peer), line, epoch, _nodes(siblings))
        case ClaimMany(epoch=epoch, lines=lines):
            rows = [(peer_key(one.peer), one.line, _nodes(one.proof)) for one in lines]
            return at.settlement, _data("Settlement", "claimMany", epoch, rows)
        case Accuse():
            return at.equivocation, _accuse_data(intent)
        case OpenDispute():
            return at.disputes, _open_data(intent)
        case PlayMove(call=call) | ExpireDispute(call=call):
            return at.disputes, "0x" + call.hex()
        case AskForData():
            return at.requests, _ask_data(intent)
        case ShowData(request=request, data=data, pieces=pieces, proof=siblings):
            shown = bytes.fromhex(request), data, bytes.fromhex(pieces), _nodes(siblings)
            return at.requests, _data("DataRequests", "show", *shown)
        case ExpireRequest(request=request):
            return at.requests, _data("DataRequests", "expire", bytes.fromhex(request))
    raise TypeError(f"Not an intent: {intent!r}")


def reference(intent: Stake | Unstake) -> bytes:
    """32 bytes by which the vault recognises a deposit or exit that was made before."""
    return keccak(f"{type(intent).__name__} {intent.number}".encode())


def stake_with_permit(at: Contracts, intent: Stake, deadline: int, signature: bytes) -> Call:
    """The deposit together with the owner's permit (65 bytes r, s, v), instead of an approval before it."""
    permit = deadline, signature[64], signature[:32], signature[32:64]
    amount_wei = intent.amount_micro * WEI_PER_MICRO
    data = _data("StakeVault", "depositWithPermit", peer_key(intent.peer), amount_wei, reference(intent), *permit)
    return at.vault, data


def approval(token: Address, spender: Address, amount_wei: int) -> Call:
    """Let ``spender`` take so many tokens from the sending wallet."""
    return token, _data("SwarmToken", "approve", spender, amount_wei)


def fields(result: RoundResult) -> tuple[int, bytes, bytes, bytes, bytes, int]:
    """A result as the contracts' struct."""
    return (
        result.round,
        bytes.fromhex(result.contributions_root),
        bytes.fromhex(result.data_hash),
        bytes.fromhex(result.previous_credits_root),
        bytes.fromhex(result.credits_root),
        result.total_micro_credits,
    )


def _register_data(intent: Register) -> str:
    r, vs = _compact(intent.proof)
    if intent.delegation is not None:
        signer = intent.delegation.signer
        try:
            modulus = rsa_modulus(intent.delegation.public_key)
        except BadRecord as error:
            raise chain_error(Refusal("ModulusUnsupported", {})) from error
        return _data("PeerRegistry", "registerRsa", modulus, signer, intent.nonce, intent.delegation.signature, r, vs)
    public_key = secp256k1_of_peer(intent.peer)
    if public_key is None:
        raise ChainError(
            f"The peer id {intent.peer} does not contain its key, and no delegation was given.",
            "It cannot be registered.",
            "Use a secp256k1 or RSA-2048 swarm.pem.",
            reason="ProofRejected",
        )
    xy = public_key_xy(public_key)
    return _data("PeerRegistry", "registerSecp256k1", xy[:32], xy[32:], intent.nonce, r, vs)


def _accuse_data(intent: Accuse) -> str:
    return _data(
        "Equivocation",
        "prove",
        peer_key(intent.peer),
        intent.kind,
        intent.round,
        bytes.fromhex(intent.content_a),
        _compact(intent.signature_a),
        bytes.fromhex(intent.content_b),
        _compact(intent.signature_b),
    )


def _open_data(intent: OpenDispute) -> str:
    words = (intent.state_before, intent.state_after, intent.step_program, intent.step_data, intent.draws)
    draw = _nodes((intent.draw_program, intent.draw_data))
    return _data(
        "DisputeGame",
        "open",
        peer_key(intent.peer),
        intent.round,
        intent.contribution,
        _compact(intent.signature),
        _nodes(words),
        (intent.subject, *draw, _nodes(intent.draw_proof)),
    )


def _ask_data(intent: AskForData) -> str:
    return _data(
        "DataRequests",
        "ask",
        peer_key(intent.peer),
        intent.round,
        intent.contribution,
        _compact(intent.signature),
        (intent.part, intent.index, bytes.fromhex(intent.line), _nodes(intent.proof)),
    )


def _data(contract: str, name: str, *arguments: object) -> str:
    return function(contract, name).call_data(*arguments)


def _nodes(siblings: tuple[ContentId, ...]) -> list[bytes]:
    return [bytes.fromhex(node) for node in siblings]


def _compact(signature: bytes) -> tuple[bytes, bytes]:
    """ERC-2098 form of a signature. Raises ``ChainError('ProofRejected')`` for what no contract accepts."""
    try:
        return compact_signature(signature)
    except BadRecord as error:
        raise ChainError(error.what, "Nothing was sent.", "Sign again.", reason="ProofRejected") from error
