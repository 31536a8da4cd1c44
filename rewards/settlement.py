"""Why this module exists: nobody proposes its own pay alone; this is what everybody else does before signing.

    a drawn poster    propose         its verified contributions -> Proposal and the table behind it
    every member      check_proposal  recomputed from its own records -> Agreed (sign it) or Refused (say why)
    the poster        collect         attestations -> a majority's signatures, in the order that the contract wants
    every peer        affirmation     attestations -> the answer when somebody challenges what is paid out
    every peer        claim_intent    table -> a Merkle proof of its own credits

All pure. A member believes no number of a proposal: it looks up which contributions are meant and computes the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

import msgspec

from chain.base import ZERO_ROOT, Affirm, Claim, ClockView, Contracts, Epoch, Member, Prune, Settle
from chain.keys import peer_key, recover_signer
from chain.sortition import Quorum
from chain.typed_data import round_result_digest
from protocol.codec import BLOB_CAP, content_id, content_id_of, decode, encode
from protocol.errors import BadRecord
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import Attestation, BlobRef, CreditTable, Proposal, RoundResult
from rewards.ledger import NO_TERMS, Terms, Verified, apply, check_table, credits_tree, line_of, round_result, row_of
from rewards.pending import NOTHING_ACCUSED, Ruling, losing, pending_in


class Why(StrEnum):
    """Why a proposal is not signed."""

    WRONG_ROUND = "wrong_round"  # already settled, or not open yet
    STALE = "stale"  # computed from other credits than the chain's latest
    BEHIND = "behind"  # this member does not have the chain's latest table: not the poster's fault
    EMPTY = "empty"  # nothing to settle: no contributions, and no pay that waits
    DISORDERED = "disordered"  # not sorted, twice the same, or two of one peer
    UNVERIFIED = "unverified"  # names a contribution that this member did not verify
    OMITTED = "omitted"  # leaves out a contribution or a verdict that must be in
    BUILT_ON_SAND = "built_on_sand"  # holds a contribution whose peer's former one is struck
    DIFFERENT = "different"  # this member computes another result


class Refused(msgspec.Struct, frozen=True):
    """A proposal that this member does not sign: the reason for counters, and a sentence for people."""

    reason: Why
    what: str


class Agreed(msgspec.Struct, frozen=True):
    """A proposal whose result this member computed itself: sign ``result``, keep ``table``."""

    result: RoundResult
    table: CreditTable


class Collected(msgspec.Struct, frozen=True):
    """Signatures under one result; ``settle`` can be sent once ``enough``. ``dropped``: why attestations fell out."""

    settle: Settle
    attested: tuple[PeerId, ...]
    enough: bool
    dropped: tuple[BadRecord, ...]


def posters_due(order: tuple[PeerId, ...], waited_s: float, poster_s: float) -> tuple[PeerId, ...]:
    """Those of ``order`` whose turn has come after ``waited_s`` seconds: one at once, one more each ``poster_s``."""
    return order[: 1 + int(max(waited_s, 0) // poster_s)]


def propose(
    run: ContentId,
    round: int,
    verified: Iterable[Verified],
    previous: CreditTable | None,
    verdicts: Iterable[ContentId] = (),
    ruling: Ruling = NOTHING_ACCUSED,
    terms: Terms = NO_TERMS,
    refuted: Iterable[ContentId] = (),
) -> tuple[Proposal, CreditTable]:
    """A poster's offer over everything it verified, and the table to serve as a blob (``encode(table)``).

    ``verdicts``: those that count, ``refuted``: what was proven false on the chain, and ``ruling``: what both come to.
    Works that do not start from where the ledger
    has their peer are left out: those above all that the ruling strikes the ground from under.
    """
    lost = losing(previous, ruling)
    standing = (work for work in verified if work.peer not in lost and state_of(previous, work) == work.state_before)
    works = sorted(standing, key=lambda work: work.content)
    table = apply(previous, run, round, works, ruling, terms)
    result = round_result(table, works, previous)
    blob = BlobRef(content=result.data_hash, size=len(encode(table)))
    proposal = Proposal(
        result=result,
        contributions=tuple(work.content for work in works),
        verdicts=tuple(sorted(verdicts)),
        refuted=tuple(sorted(refuted)),
        table=blob,
    )
    return proposal, table


class Judged(msgspec.Struct, frozen=True):
    """This member's view of a proposal's verdicts and proven lies: what those that it names come to; those that it
    names and that are not known here, and those that arrived so early that no honest poster can have missed them."""

    ruling: Ruling = NOTHING_ACCUSED
    unknown: Collection[ContentId] = ()
    required: Collection[ContentId] = ()
    unproven: Collection[ContentId] = ()
    proven: Collection[ContentId] = ()


def check_proposal(
    proposal: Proposal,
    *,
    run: ContentId,
    verified: Mapping[ContentId, Verified],
    previous: CreditTable | None,
    view: ClockView,
    required: Mapping[ContentId, PeerId] | None = None,
    judged: Judged | None = None,
    terms: Terms = NO_TERMS,
) -> Agreed | Refused:
    """Decide whether to sign ``proposal``. Never raises for anything that a poster may have written.

    ``verified``: contributions of the proposal's round that this member recomputed, by content id. ``previous``: its
    table of the latest recorded round (``None`` before the first). ``required``: those that arrived early enough that
    no honest poster can have missed them, its own among them, and whose they are; who is struck has no claim to be in.
    The poster's table is not needed: it must be ours.
    """
    result, contents, judged = proposal.result, proposal.contributions, judged or Judged()
    if not view.settled_round < result.round <= view.round:
        return Refused(Why.WRONG_ROUND, f"Round {result.round} is not open; {view.settled_round} is settled.")
    if result.previous_credits_root != view.credits_root:
        return Refused(Why.STALE, "It was computed from other credits than the latest on the chain.")
    if not _is_latest(previous, view):
        return Refused(Why.BEHIND, f"The credit table of round {view.settled_round} is not here yet.")
    if not contents and not pending_in(previous):
        return Refused(Why.EMPTY, "It holds no contributions, and no pay waits for one more result.")
    for named in (contents, proposal.verdicts, proposal.refuted):
        if list(named) != sorted(set(named)):
            return Refused(Why.DISORDERED, "Its contributions, verdicts or proven lies are not sorted, each once.")
    unknown = [*(content for content in contents if content not in verified), *judged.unknown, *judged.unproven]
    if unknown:
        return Refused(Why.UNVERIFIED, f"{len(unknown)} of what it names are not verified here: {unknown[0][:16]}…")
    works = [verified[content] for content in contents]
    if len({work.peer for work in works}) < len(works):
        return Refused(Why.DISORDERED, "It holds two contributions of one peer.")
    lost = losing(previous, judged.ruling)
    if any(work.peer in lost for work in works):
        return Refused(Why.BUILT_ON_SAND, "It holds a contribution that was built on a struck one.")
    due = [content for content, peer in (required or {}).items() if peer not in lost]
    left_out = (set(judged.required) - set(proposal.verdicts)) | (set(judged.proven) - set(proposal.refuted))
    missing = sorted((set(due) - set(contents)) | left_out)
    if missing:
        return Refused(Why.OMITTED, f"It leaves out {len(missing)} records that were in time: {missing[0][:16]}…")
    if any(state_of(previous, work) != work.state_before for work in works):
        return Refused(Why.UNVERIFIED, "It holds a contribution that starts from another state than the credit table.")
    verdicts, refuted = proposal.verdicts, proposal.refuted
    mine, table = propose(run, result.round, works, previous, verdicts, judged.ruling, terms, refuted)
    if mine != proposal:
        return Refused(Why.DIFFERENT, f"Computed here: {_difference(mine, proposal)}.")
    return Agreed(result=mine.result, table=table)


def state_of(table: CreditTable | None, work: Verified) -> ContentId:
    """The state that the ledger has for the work's peer; a newcomer's is what the work says (checked elsewhere)."""
    row = row_of(table, work.peer)
    return row.state if row is not None else work.state_before


def collect(
    result: RoundResult,
    attestations: Iterable[Attestation],
    members: Iterable[Member],
    domain: Contracts,
    *,
    quorum: Quorum,
    poster: PeerId,
) -> Collected:
    """Signatures under ``result`` that count for ``quorum``, one a member, ordered by signing account.

    ``members``: those of the result's round. ``poster``: who would send them. Drops, with the reason: an attestation of
    another result (``hash_mismatch``), a signature that is none (``wrong_signature``) or is by no member
    (``not_a_member``). A second one of the same member changes nothing, nor does one of a member that was not drawn.
    """
    by_signer = {member.signer: member.peer for member in members}
    signatures, dropped = _signatures(result, attestations, by_signer, domain)
    order = [signer for signer in sorted(signatures, key=_number) if by_signer[signer] in quorum.votes]
    attested = tuple(by_signer[signer] for signer in order)
    return Collected(
        settle=Settle(result, tuple(signatures[signer] for signer in order), poster),
        attested=attested,
        enough=quorum.is_met(attested),
        dropped=tuple(dropped),
    )


def signed_by(attestation: Attestation, members: Iterable[Member], domain: Contracts) -> bool:
    """Whether one of ``members`` made the signature, over the attestation's own result."""
    by_signer = {member.signer: member.peer for member in members}
    return bool(_signatures(attestation.result, [attestation], by_signer, domain)[0])


def affirmation(
    epoch: int, result: RoundResult, attestations: Iterable[Attestation], members: Iterable[Member], domain: Contracts
) -> Affirm | None:
    """The answer to a challenge of ``epoch``, which pays ``result``; ``None`` unless more than half of the whole weight
    of ``members`` (those of the result's round) signed exactly that result."""
    members = tuple(members)
    by_signer = {member.signer: member.peer for member in members}
    weights = {member.signer: member.weight for member in members}
    signatures, _ = _signatures(result, attestations, by_signer, domain)
    if 2 * sum(weights[signer] for signer in signatures) <= sum(weights.values()):
        return None
    return Affirm(epoch, result, tuple(signatures[signer] for signer in sorted(signatures, key=_number)))


def _signatures(
    result: RoundResult, attestations: Iterable[Attestation], by_signer: Mapping[Address, PeerId], domain: Contracts
) -> tuple[dict[Address, bytes], list[BadRecord]]:
    digest = round_result_digest(domain, result)
    signatures: dict[Address, bytes] = {}
    dropped: list[BadRecord] = []
    for attestation in attestations:
        try:
            if attestation.result != result:
                raise BadRecord("hash_mismatch", "It attests another result.")
            signer = recover_signer(digest, attestation.signature)
            if signer not in by_signer:
                raise BadRecord("not_a_member", f"{signer} signs for no member of round {result.round}.")
        except BadRecord as bad:
            dropped.append(bad)
            continue
        signatures.setdefault(signer, attestation.signature)
    return signatures, dropped


def _number(address: Address) -> int:
    return int(address, 16)


def claim_intent(table: CreditTable, peer: PeerId, claimed_micro: int, epoch: Epoch) -> Claim | None:
    """The claim of everything that ``peer`` was credited up to ``epoch`` and was not yet paid; ``None`` when there is
    nothing to claim, or ``table`` is not the one behind the epoch. ``claimed_micro`` is what the chain says."""
    row = row_of(table, peer)
    if row is None or row.micro_credits <= claimed_micro:
        return None
    tree = credits_tree(table)
    if tree.root != epoch.credits_root:
        return None
    line = line_of(row)
    return Claim(peer=peer, line=line, epoch=epoch.number, proof=tree.proof(peer_key(peer), line))


def prune_intent(table: CreditTable, peer: PeerId) -> Prune | None:
    """The ejection of a member by its line in the latest recorded table; ``None`` when it has none. The contract
    decides whether the line allows it."""
    row = row_of(table, peer)
    if row is None:
        return None
    line = line_of(row)
    return Prune(peer, line, credits_tree(table).proof(peer_key(peer), line))


def adopt_table(blob: bytes, run: ContentId, view: ClockView) -> CreditTable:
    """The latest recorded table, from whoever served it: how a newcomer or a late peer catches up.

    Raises ``BadRecord``: ``hash_mismatch`` unless the chain's latest result commits to exactly these bytes and their
    root, ``oversized``, ``malformed``, ``wrong_run``.
    """
    if content_id(blob) != view.data_hash:
        raise BadRecord("hash_mismatch", "These bytes are not the credit table that the chain's latest result names.")
    table = decode(blob, CreditTable, cap=BLOB_CAP)
    check_table(table, run)
    if table.round != view.settled_round or credits_tree(table).root != view.credits_root:
        raise BadRecord("hash_mismatch", "The credit table does not have the recorded round or root.")
    return table


def _is_latest(table: CreditTable | None, view: ClockView) -> bool:
    if table is None:
        return view.settled_round == 0 and view.credits_root == ZERO_ROOT
    return table.round == view.settled_round and content_id_of(table) == view.data_hash


def _difference(mine: Proposal, theirs: Proposal) -> str:
    parts = [
        f"{name} {str(ours)[:16]} instead of {str(getattr(theirs.result, name))[:16]}"
        for name in mine.result.__struct_fields__
        if (ours := getattr(mine.result, name)) != getattr(theirs.result, name)
    ]
    return ", ".join(parts) or "another table blob or other verdicts"
