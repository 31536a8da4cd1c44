"""Why this module exists: what a round came to is told in events that say all of it, from what was agreed and timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chain.base import ClockView
from protocol.events import Event, Outcome, RoundEnded, RoundOpened, RoundSettled, Struck
from protocol.ids import ZERO_ROOT, Stage
from protocol.messages import CreditTable
from rewards.ledger import credits_tree
from rewards.pending import change_between
from swarm.game.round_view import RoundView
from swarm.rounds.agreement import Proposed
from swarm.rounds.timing import Activity


def round_opened(base: RoundView, view: ClockView, num_levels: int) -> RoundOpened:
    """What this peer plays in. ``num_levels``: of the run's task."""
    return RoundOpened(
        round=base.round,
        seed=base.seed,
        members=tuple(member.peer for member in view.members),
        cohort=base.cohort,
        opened_at=view.opened_at,
        closes_at=view.closes_at,
        level=base.level,
        num_levels=num_levels if base.level else 0,
    )


def round_ended(
    number: int, outcome: Outcome, stages_played: Sequence[Stage], total_s: float, parts: Mapping[Activity, float]
) -> RoundEnded:
    """How a round ended for this peer, and where its time went."""
    return RoundEnded(
        round=number,
        outcome=outcome,
        stages_played=tuple(stages_played),
        total_s=total_s,
        generate_s=parts[Activity.GENERATE],
        train_s=parts[Activity.TRAIN],
        wait_s=parts[Activity.WAIT],
        network_s=parts[Activity.NETWORK],
        chain_s=parts[Activity.CHAIN],
    )


def round_settled(table: CreditTable, before: CreditTable | None, agreed: Proposed | None) -> list[Event]:
    """What a result changed: who earned and was paid what, and whose work was struck. ``before``: the table that it
    was computed from; ``agreed``: its proposal, where this peer knows it."""
    change = change_between(before, table)
    settled = RoundSettled(
        round=table.round,
        contributions_root=agreed.proposal.result.contributions_root if agreed else ZERO_ROOT,
        credits_root=credits_tree(table).root,
        contributions=agreed.proposal.contributions if agreed else (),
        micro_credits=change.earned,
        poster=agreed.poster if agreed else None,
        paid=change.paid,
        paid_for_verdicts=change.judged,
    )
    return [
        settled,
        *(Struck(lost.round, peer, lost.contribution, lost.micro_credits) for peer, lost in change.struck),
    ]
