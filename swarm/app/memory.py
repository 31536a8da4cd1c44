"""Why this module exists: before anything is loaded, the plan is held against this machine; afterwards, the peak is.

The arithmetic is ``swarm.policy.plan``; here it meets the settings, the machine and the event log.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from protocol.errors import OutOfMemory
from protocol.event import Event
from protocol.events import MemoryMeasured, MemoryPlanned, RoundEnded
from protocol.run import JoinToken
from swarm.app.checkup import batch_of, model_of
from swarm.doctor.checks_machine import size_of, work_of, would_fit
from swarm.policy import plan
from swarm.settings.config import Settings
from swarm.settings.model_choice import AUTO, pick

CHANGE = 0.02
"""A peak that grew by less is not told again."""


def with_model(chosen: Settings, *, num_peers: int = 1) -> Settings:
    """The settings with ``auto`` made a model of the pool, by the memory that each of ``num_peers`` finds here."""
    if chosen.run.model != AUTO:
        return chosen
    from swarm.doctor.look_machine import free_memory

    free, _ = free_memory(chosen.engine.device)
    model = pick(chosen.run.model_pool, free / num_peers / 1e9)
    return chosen.model_copy(update={"run": chosen.run.model_copy(update={"model": model})})


def memory_plan(chosen: Settings, token: JoinToken | None, *, num_peers: int = 1) -> MemoryPlanned | None:
    """What a start is predicted to take here, for each of ``num_peers`` that share the memory; ``None`` for a model
    whose size is not known before it is downloaded.

    Raises ``OutOfMemory`` when no batch is small enough, with the size of model that would fit.
    """
    from swarm.doctor.look_machine import free_memory, read_model

    model = read_model(model_of(chosen, token))
    size = size_of(model)
    if size is None:
        return None
    free, place = free_memory(chosen.engine.device)
    free //= num_peers
    work = work_of(batch_of(chosen, token), on_gpu=place == "VRAM")
    found = plan.plan(size, work, free)
    if not found.fits:
        share = "" if num_peers == 1 else f" for each of {num_peers} peers"
        team = f" with its {work.processes} processes" if work.processes > 1 else ""
        raise OutOfMemory(
            f"{model.name} takes about {found.demand.total / 1e9:.1f} GB of {place}{team};"
            f" {free / 1e9:.1f} GB are free{share}.",
            "Nothing was started; credits are not touched.",
            f"{would_fit(size, work, free)} Or close other programs, or run fewer peers here.",
        )
    parts = msgspec.to_builtins(found.demand)
    return MemoryPlanned(model.name, place, found.demand.peak, free, found.cache, work.cache, parts)


class MemoryWatch:
    """Tells the measured peak after each round that raised it. ``told``: called with every event that was logged."""

    def __init__(self, planned: MemoryPlanned, measure: Callable[[], int], say: Callable[[Event], object]) -> None:
        self._planned, self._measure, self._say = planned, measure, say
        self._told = 0

    def told(self, event: Event) -> None:
        if not isinstance(event, RoundEnded):
            return
        measured = self._measure()
        if measured <= self._told * (1 + CHANGE):
            return
        self._told = measured
        near = plan.is_near(self._planned.predicted, measured)
        self._say(MemoryMeasured(self._planned.place, self._planned.predicted, measured, near))
