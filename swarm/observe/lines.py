"""Why this module exists: without a dashboard, and in a log file, each event is one readable line.

Pure, and stable enough to grep: the nickname first, then plain words. Text from outside passes ``plain``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import events as e
from protocol.events import Outcome
from protocol.messages import Finding
from swarm.observe.text import credits_text, name_of, plain, seconds_text, short_id

_OUTCOMES = {
    Outcome.COMPLETE: "complete",
    Outcome.ALONE: "alone: no other peer's work arrived in time",
    Outcome.PARTIAL: "partial: some peers' work did not arrive in time",
    Outcome.LATE: "late: skipped",
    Outcome.NOT_INCLUDED: "not included: the round closed without this peer's work, its step is undone",
    Outcome.NO_QUORUM: "no quorum: too few members attested the result",
    Outcome.SKIPPED: "skipped: this peer could not take the training step and made no contribution",
}


def outcome_words(outcome: Outcome) -> str:
    """An outcome with what it means."""
    return _OUTCOMES[outcome]


def line(event: e.Event, nickname: str) -> str | None:
    """``event`` of the peer ``nickname`` as one line, or None for events that only displays need (progress, presence).

    Amounts: credits decimal, scores and accuracies in percent, durations with their unit.
    """
    said = words(event)
    return None if said is None else f"{plain(nickname, 40)}: {said}"


def words(event: e.Event) -> str | None:
    """``line`` without the name in front."""
    told = _WORDS.get(type(event))
    return told(event) if told is not None else None


def kind_of(event: e.Event) -> str:
    """What a line is about, for its colour and for filters: problem, chain, check, round or peer."""
    return _KINDS.get(type(event), "peer")


def percent(milli: int) -> str:
    """Thousandths as percent: ``445`` is ``44.5 %``."""
    return f"{milli / 10:.1f} %"


def _num(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _names(peers: tuple[Any, ...]) -> str:
    shown = ", ".join(name_of(peer) for peer in peers[:4])
    return shown if len(peers) <= 4 else f"{shown} and {len(peers) - 4} more"


def _started(event: e.PeerStarted) -> str:
    return (
        f"started as {short_id(event.peer)} with wallet {short_id(event.address)},"
        f" model {plain(event.model, 80)}, {plain(event.engine, 20)} engine"
    )


def _registered(event: e.Registered) -> str:
    if not event.transaction:
        return f"already registered with wallet {short_id(event.address)}"
    return f"registered on the chain with wallet {short_id(event.address)}"


def _stage_ended(event: e.StageEnded) -> str:
    heard = f"heard {_num(len(event.received), 'peer')}"
    lost = f", missing {_names(event.missing)}" if event.missing else ""
    outcome = "done" if event.outcome is Outcome.COMPLETE else _OUTCOMES[event.outcome]
    return f"round {event.round}: {event.stage} {outcome}, {heard}{lost}, waited {seconds_text(event.waited_s)}"


def _question(event: e.QuestionPlayed) -> str:
    right = sum(one.score_milli >= 500 for one in event.decisions)
    return (
        f"round {event.round}: asked {plain(event.question, 120)!r}, truth {plain(event.truth, 40)!r},"
        f" {right} of {len(event.decisions)} decided well"
    )


def _trained(event: e.Trained) -> str:
    loss = "not finite" if event.loss is None else f"{event.loss:.4f}"
    return (
        f"round {event.round}: trained on {event.num_own} own and {event.num_external} shared rollouts"
        f" in {seconds_text(event.took_s)}, loss {loss}"
        + (f"; {event.num_even} of {event.num_groups} groups skipped: all the same" if event.num_even else "")
        + (f"; {event.num_void} rollouts left out: scorers differ" if event.num_void else "")
    )


def _audited(event: e.Audited) -> str:
    about = f"round {event.round}: contribution of {name_of(event.peer)}"
    if event.finding is not Finding.MATCH:
        return f"{about} accused at level {event.level}, {event.finding}: {plain(event.what, 200)}"
    if event.level == 0:
        return f"{about} checked at level 0 only: what this run's engine computes cannot be done again"
    done = "sampled rollouts" if event.level == 1 else "sampled rollouts and training step"
    return f"{about} checked at level {event.level}: {done} done again, the same ({seconds_text(event.took_s)})"


def _verdict_seen(event: e.VerdictSeen) -> str:
    about = f"the contribution of {name_of(event.peer)}"
    if event.finding is Finding.MATCH:
        return f"round {event.round}: {name_of(event.by)} checked {about} at level {event.level}: the same"
    what = plain(event.what, 200)
    return f"round {event.round}: {name_of(event.by)} accuses {about} at level {event.level}, {event.finding}: {what}"


def _dispute_opened(event: e.DisputeOpened) -> str:
    about = f"{plain(event.subject, 80)} of {name_of(event.peer)} in round {event.round}"
    part = f"; this peer is the {plain(event.side, 20)}" if event.side else ""
    return f"dispute {event.game[:10]}: opened about {about} by {short_id(event.challenger)}{part}"


def _dispute_decided(event: e.DisputeDecided) -> str:
    taken = f", {credits_text(event.slashed_micro)} tokens of its stake are taken" if event.slashed_micro else ""
    return f"dispute {event.game[:10]}: the {plain(event.winner, 20)} wins{taken}. {plain(event.why, 400)}"


def _rejected(event: e.RecordRejected) -> str:
    reason = plain(event.reason, 32).replace("_", " ")
    return f"round {event.round}: dropped the {plain(event.kind, 32)} record of {name_of(event.peer)}: {reason}" + (
        f" ({plain(event.detail, 120)})" if event.detail else ""
    )


def _transaction(event: e.TransactionSent) -> str:
    about = f" for round {event.round}" if event.round else ""
    return f"transaction {plain(event.purpose, 20)}{about} mined: {short_id(event.transaction)}, {event.gas} gas"


def _settled(event: e.RoundSettled) -> str:
    earned, paid = sum(event.micro_credits.values()), sum(event.paid.values())
    return (
        f"round {event.round}: settled on the chain, {_num(len(event.contributions), 'contribution')}"
        f" worth {credits_text(earned)} credits; {credits_text(paid)} credits of earlier rounds paid"
    )


def _round_ended(event: e.RoundEnded) -> str:
    parts = (
        f"generate {event.generate_s:.1f}, train {event.train_s:.1f}, wait {event.wait_s:.1f},"
        f" network {event.network_s:.1f}, chain {event.chain_s:.1f}"
    )
    return f"round {event.round}: {_OUTCOMES[event.outcome]}, {seconds_text(event.total_s)} ({parts})"


def _evaluated(event: e.Evaluated) -> str:
    accuracy = percent(1000 * event.num_correct // event.num_questions) if event.num_questions else "nothing asked"
    when = f"after round {event.round}" if event.round else "before training"
    return f"held-out accuracy {when}: {accuracy} of {event.num_questions} questions"


def _problem(event: e.Problem) -> str:
    return "problem: " + " ".join(plain(part, 300) for part in (event.what, event.so_what, event.next_step) if part)


def _equivocation_ended(event: e.EquivocationEnded) -> str:
    head = f"round {event.round}: the two contributions of {name_of(event.peer)}"
    if event.why:
        return f"{head} are not shown to the contract: {plain(event.why, 300)}"
    taken = f"its stake of {credits_text(event.slashed_micro)} tokens" if event.slashed_micro else "its stake"
    return f"{head} were shown to the contract by {'this peer' if event.by_me else 'another one'}: {taken} is taken"


_KINDS: dict[type, str] = {
    **dict.fromkeys((e.Problem, e.Recovered, e.RecordRejected, e.AttestationRefused, e.Struck), "problem"),
    **dict.fromkeys(
        (e.TransactionSent, e.RoundSettled, e.CreditsChanged, e.Claimed, e.Registered, e.StakeChanged), "chain"
    ),
    **dict.fromkeys((e.Audited, e.VerdictSeen, e.WitnessDoubted), "check"),
    **dict.fromkeys((e.EquivocationFound, e.EquivocationEnded, e.EquivocationProven), "check"),
    **dict.fromkeys((e.DisputeOpened, e.DisputeMove, e.DisputeDecided, e.DisputeNotPossible), "check"),
    **dict.fromkeys((e.RoundOpened, e.RoundEnded, e.Trained, e.Evaluated, e.StageEnded, e.QuestionPlayed), "round"),
}

_WORDS: dict[type, Callable[[Any], str | None]] = {
    e.PeerStarted: _started,
    e.Joined: lambda event: f"joined the swarm in {seconds_text(event.took_s)}",
    e.Registered: _registered,
    e.HeldBack: lambda event: (
        f"restored from a backup: signs nothing up to round {event.until_round}, which it may have signed elsewhere"
    ),
    e.RoundOpened: lambda event: (
        f"round {event.round}: open, {_num(len(event.members), 'member')}"
        + (f", questions of level {event.level} of {event.num_levels}" if event.level else "")
    ),
    e.StageStarted: lambda event: f"round {event.round}: {event.stage} begins",
    e.BatchProduced: lambda event: (
        f"round {event.round}: {event.stage}: {_num(event.num_rollouts, 'rollout')} in {seconds_text(event.took_s)},"
        f" mean score {percent(event.mean_score_milli)}"
    ),
    e.BatchSeen: lambda event: (
        f"round {event.round}: {event.stage}: {name_of(event.peer)} re-scored at {percent(event.mean_score_milli)}"
    ),
    e.StageEnded: _stage_ended,
    e.QuestionPlayed: _question,
    e.Trained: _trained,
    e.ContributionSigned: lambda event: f"round {event.round}: contribution {short_id(event.content)} signed",
    e.ContributionSeen: lambda event: (
        f"round {event.round}: contribution of {name_of(event.peer)} recomputed,"
        f" worth {credits_text(event.micro_credits)} credits"
    ),
    e.ContributionPublished: lambda event: f"round {event.round}: contribution {short_id(event.content)} published",
    e.ResultProposed: lambda event: (
        f"round {event.round}: {name_of(event.poster)} proposes a result of"
        f" {_num(len(event.contributions), 'contribution')}"
    ),
    e.AttestationSeen: lambda event: (
        f"round {event.round}: {name_of(event.by)} signed result {short_id(event.credits_root)}"
    ),
    e.StakeChanged: lambda event: (
        f"stake: {credits_text(event.stake_micro)} tokens count, {credits_text(event.exiting_micro)} on their way out"
    ),
    e.Held: lambda event: (
        f"round {event.round}: keeps the contribution of {name_of(event.peer)} until it is paid,"
        f" {event.num_bytes / 1e6:.1f} MB"
    ),
    e.Audited: _audited,
    e.DataAsked: lambda event: (
        f"round {event.round}: {name_of(event.peer)}'s data is served by nobody; it was asked for on the chain"
    ),
    e.DataAnswered: lambda event: (
        f"round {event.round}: {name_of(event.peer)} "
        + ("showed the piece that was asked for" if event.shown else "withheld what was asked for: its stake is lost")
    ),
    e.VerdictSeen: _verdict_seen,
    e.WitnessDoubted: lambda event: (
        f"round {event.round}: {name_of(event.by)} says that {name_of(event.judge)} never checked the contribution of"
        f" {name_of(event.peer)}; the attestors look"
    ),
    e.EquivocationFound: lambda event: (
        f"round {event.round}: {name_of(event.peer)} signed two contributions; both are kept, to take its stake"
    ),
    e.EquivocationEnded: _equivocation_ended,
    e.EquivocationProven: lambda event: (
        f"round {event.round}: {short_id(event.reporter)} proved on the chain that {name_of(event.peer)} signed two"
        f" contributions: {credits_text(event.slashed_micro)} tokens of stake are taken,"
        f" {credits_text(event.award_micro)} of them for the reporter ({short_id(event.transaction)})"
    ),
    e.Struck: lambda event: (
        f"round {event.round}: the contribution of {name_of(event.peer)} is struck:"
        f" {credits_text(event.micro_credits)} credits are not paid, and its step is undone"
    ),
    e.DisputeOpened: _dispute_opened,
    e.DisputeMove: lambda event: (
        f"dispute {event.game[:10]}: move {event.number}, the {plain(event.side, 20)} {plain(event.what, 300)}"
        f" ({event.count:,} of {event.total:,} {plain(event.searched, 20)} left, {event.gas:,} gas)"
    ),
    e.DisputeDecided: _dispute_decided,
    e.DisputeNotPossible: lambda event: (
        f"round {event.round}: the contribution of {name_of(event.peer)} is not disputed: {plain(event.why, 300)}"
    ),
    e.RecordRejected: _rejected,
    e.Attested: lambda event: f"round {event.round}: attested the result that {name_of(event.poster)} proposed",
    e.AttestationRefused: lambda event: (
        f"round {event.round}: refused the result that {name_of(event.poster)} proposed: {plain(event.why, 200)}"
    ),
    e.TransactionSent: _transaction,
    e.RoundSettled: _settled,
    e.RoundEnded: _round_ended,
    e.CreditsChanged: lambda event: (
        f"credits: {credits_text(event.settled_micro)} settled, {credits_text(event.claimed_micro)} claimed"
    ),
    e.Claimed: lambda event: (
        f"claimed {credits_text(event.amount_wei // 10**12)} tokens,"
        f" the wallet holds {credits_text(event.balance_wei // 10**12)}"
    ),
    e.Evaluated: _evaluated,
    e.Problem: _problem,
    e.Recovered: lambda event: f"over: {plain(event.error, 64)}",
    e.Serving: lambda event: f"metrics at {plain(event.url, 100)}/metrics, health at {plain(event.url, 100)}/healthz",
    e.Restarted: lambda event: f"started again ({_num(event.count, 'restart')} in a row): {plain(event.why, 300)}",
    e.TimesChosen: lambda event: (
        f"this model takes up to {seconds_text(event.stage_takes_s)} a stage and {seconds_text(event.step_takes_s)} a"
        f" training step here; with room for peers {event.margin} times as slow, a stage waits {event.stage_s} s,"
        f" contributions {event.contribute_s} s, and a round may last {event.round_s} s"
        + (": fewer questions or samples, or a smaller model, would shorten it" if event.round_s > 3600 else "")
    ),
    e.MemoryPlanned: lambda event: (
        f"needs about {event.predicted / 1e9:.2f} GB of {event.place} for {plain(event.model, 60)},"
        f" {event.free / 1e9:.2f} GB free"
        + ("" if event.cache >= event.full_cache else f"; batches are smaller ({event.cache / 1e6:.0f} MB) to fit")
    ),
    e.MemoryMeasured: lambda event: (
        f"took {event.measured / 1e9:.2f} GB of {event.place} at most, {event.predicted / 1e9:.2f} GB were predicted"
        + ("" if event.is_near else " (more than 20 % off)")
    ),
    e.MemoryShrunk: lambda event: (
        f"memory ran out while {plain(event.what, 40)}: at most {event.megabytes:.3g} MB at once from now on,"
        " with the same results"
    ),
    e.StepSkipped: lambda event: f"round {event.round}: no training step, no contribution: {plain(event.what, 300)}",
    e.Stopped: lambda event: (
        f"stopped: {plain(event.why, 200)} (exit code {event.exit_code}, peak memory {event.peak_mb} MB)"
    ),
}
