"""Why this module exists: the quorum's word is not asked for either; from public records anybody gets the same ledger.

    checked batches + who was late  ->  what each contribution earned   ┐
    draws + the verdicts named      ->  what is paid, struck or waits   ├─►  the table, and its roots
    the table before                                                    ┘

The rules are the members' own (``rewards.ledger``, ``swarm.audit.judging``, ``swarm.rounds.absence``); only the inputs
come from an onlooker's inboxes, which check all but one thing that a member checks: that a text is what its tokens
decode to, for which it would take the model's tokenizer. Pure, apart from what the inboxes hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from protocol.codec import content_id_of
from protocol.ids import ContentId, PeerId
from protocol.messages import CreditTable, Review, RoundResult, Verdict
from protocol.run import RunSpec
from rewards.economics import economics_of
from rewards.ledger import Terms, Verified, apply, round_result
from rewards.levels import levels_of
from rewards.pending import Ruling, overdue, pending_in
from rewards.reputation import START, draw_weights, standings, step_rate_ppm
from swarm.audit.judging import rule
from swarm.indexing.rows import RoundSeen
from swarm.pay.earnings import verified
from swarm.rounds.inbox import Inbox
from verde.draw import Drawn, draw


def verified_in(inbox: Inbox, among: Collection[ContentId], run: RunSpec) -> dict[ContentId, Verified]:
    """What the contributions ``among`` those of one cohort earned; of who contradicts itself none counts."""
    share = economics_of(run).late_share_milli
    return verified(inbox, late_share_milli=share, among=among)


def ruling_on(
    run: RunSpec,
    seen: RoundSeen,
    opening: CreditTable | None,
    previous: CreditTable | None,
    verdicts: Iterable[Verdict],
    reviews: Iterable[Review] = (),
) -> Ruling:
    """What the verdicts, and reviews of them, that a proposal names come to. ``opening``: the latest table when the
    round opened, which says who was drawn; ``previous``: the one that the result continues. Verdicts on what nobody was
    drawn for are passed over."""
    drawn = _drawn(run, seen, opening)
    said: dict[ContentId, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.contribution in drawn:
            said.setdefault(verdict.contribution, []).append(verdict)
    reviewed: dict[ContentId, list[Review]] = {}
    for review in reviews:
        if review.contribution in drawn:
            reviewed.setdefault(review.contribution, []).append(review)
    return rule(
        drawn,
        said,
        economics_of(run),
        run.audit.step_rate_ppm,
        authors={content: author for content, (author, _) in pending_in(opening).items()},
        reviews=reviewed,
        overdue=overdue(opening, run.audit.patience_rounds),
        unseen=pending_in(previous).keys() - drawn.keys(),
    )


def result_of(
    run: RunSpec,
    seen: RoundSeen,
    works: Iterable[Verified],
    ruling: Ruling,
    previous: CreditTable | None,
) -> RoundResult:
    """The result of a round as anybody computes it. Raises ``ValueError`` for works that no proposal may hold."""
    verified = sorted(works, key=lambda work: work.content)
    terms = Terms([PeerId(peer) for peer in seen.members], run.model, economics_of(run), levels_of(run))
    table = apply(previous, run.id, seen.round, verified, ruling, terms)
    return round_result(table, verified, previous)


def _drawn(run: RunSpec, seen: RoundSeen, opening: CreditTable | None) -> dict[ContentId, Drawn]:
    if opening is None:
        return {}
    weights = draw_weights({PeerId(peer): weight for peer, (weight, _) in seen.members.items()}, opening)
    known, ledger = standings(opening), content_id_of(opening)
    return {
        content: draw(
            run.audit,
            ContentId(seen.seed),
            ledger,
            content,
            author,
            weights,
            step_rate_ppm=step_rate_ppm(run.audit.step_rate_ppm, known.get(author, START)),
            everything=pending.waited > 0,
        )
        for content, (author, pending) in pending_in(opening).items()
    }
