"""Why this module exists: whatever was killed in between, the peers' logs must tell one consistent history."""

from __future__ import annotations

import json
from collections.abc import Sequence

from protocol.events import ContributionSigned, CreditsChanged, Outcome, RoundEnded, RoundSettled, Trained
from protocol.ids import STAGES, ContentId, PeerId
from tests.integration.processes import PeerLog, wait_until

PAID = (Outcome.COMPLETE, Outcome.PARTIAL, Outcome.LATE)
"""Outcomes of a round that the chain recorded with this peer's contribution in it."""


def settled_rounds(logs: Sequence[PeerLog]) -> dict[int, dict[PeerId, int]]:
    """Micro-credits by peer of each recorded round; every log that tells of a round must tell the same."""
    found: dict[int, dict[PeerId, int]] = {}
    for log in logs:
        for event in log.all(RoundSettled):
            assert found.setdefault(event.round, event.micro_credits) == event.micro_credits
    return found


def earned(logs: Sequence[PeerLog], peer: PeerId) -> int:
    """What the chain recorded for ``peer``, in micro-credits."""
    return sum(amounts.get(peer, 0) for amounts in settled_rounds(logs).values())


def paid(logs: Sequence[PeerLog], peer: PeerId) -> int:
    """What recorded results paid ``peer``, in micro-credits: all it earned but what was still pending at the end."""
    found: dict[int, int] = {}
    for log in logs:
        for event in log.all(RoundSettled):
            assert found.setdefault(event.round, event.paid.get(peer, 0)) == event.paid.get(peer, 0)
    return sum(found.values())


def included_steps(logs: Sequence[PeerLog], log: PeerLog) -> list[Trained]:
    """The training steps of a peer that the chain recorded, one per round, in order."""
    settled = {content for other in logs for event in other.all(RoundSettled) for content in event.contributions}
    rounds = sorted({event.round for event in log.all(ContributionSigned) if event.content in settled})
    return [log.last(Trained, round=number) for number in rounds]


def check_history(logs: Sequence[PeerLog], log: PeerLog, genesis: ContentId) -> None:
    """Each recorded step starts where the one before ended, the saved optimiser has taken exactly those steps (one a
    round), each round was signed once, and settled credits never fall."""
    steps = included_steps(logs, log)
    states = [genesis, *(step.state_after for step in steps)]
    assert [step.state_before for step in steps] == states[:-1]
    assert optimiser_steps(log, states[-1]) == len(steps)
    signed = [event.round for event in log.all(ContributionSigned)]
    assert len(signed) == len(set(signed))
    credits = [event.settled_micro for event in log.all(CreditsChanged)]
    assert credits == sorted(credits)


def optimiser_steps(log: PeerLog, state: ContentId) -> int:
    """How many optimiser steps a saved state has behind it."""
    (index,) = log.folder.glob(f"runs/*/state/{state}/*.json")
    steps: int = json.loads(index.read_bytes())["step"]
    return steps


def plays_on(log: PeerLog, after: int) -> RoundEnded:
    """Wait for the first round after event number ``after`` that this peer plays in all stages and is paid for."""

    def whole() -> RoundEnded | None:
        ended = log.all(RoundEnded, after=after)
        return next((e for e in ended if e.outcome in PAID and e.stages_played == STAGES), None)

    found: RoundEnded = wait_until(whole, f"peer {log.name} plays a whole round again")
    return found
