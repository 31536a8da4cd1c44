"""Why this module exists: who keeps curves of experiments in a tracker wants a peer's there, too; nobody has to.

A ``Tracker`` takes numbers by round. ``Curves`` follows a peer's log on a thread of its own and hands over what each
ended round was; a tracker that fails is told of once and left alone, and the peer plays on. Trackers are extras
(``pip install rl-swarm-peer[trackio]`` or ``[wandb]``); both have the same few calls.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from protocol import events as e
from protocol.errors import ConfigError
from protocol.events import LoggedEvent
from swarm.observe.eventlog import START, Position, follow

POLL_S = 1.0


class Tracker(Protocol):
    """Where curves are kept."""

    def log(self, numbers: Mapping[str, float], step: int) -> None: ...

    def finish(self) -> None: ...


class KeptTracker:
    """The tracker of tests: keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, float]]] = []
        self.finished = False

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self.told.append((step, dict(numbers)))

    def finish(self) -> None:
        self.finished = True


class LibraryTracker:
    """trackio or wandb: ``init`` gives a run with ``log`` and ``finish``. ``facts`` describe the run there."""

    def __init__(self, library: str, project: str, name: str, facts: Mapping[str, Any]) -> None:
        try:
            module = importlib.import_module(library)
        except ImportError as error:
            raise ConfigError(
                f"The tracker {library} is not installed.",
                "The peer was not started; credits are not touched.",
                f"Install it beside the program (`.venv/bin/pip install {library}`), or set observe.tracker to none.",
            ) from error
        self._run = module.init(project=project, name=name, config=dict(facts))

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._run.log(dict(numbers), step=step)  # the run itself: what `log` of the module means depends on the thread

    def finish(self) -> None:
        self._run.finish()


class Rounds:
    """Numbers of a round, gathered event by event; whole when the round ended. Pure."""

    def __init__(self) -> None:
        self._numbers: dict[str, float] = {}

    def take(self, event: e.Event) -> tuple[int, dict[str, float]] | None:
        """(round, its numbers) when ``event`` ends it."""
        add = self._numbers.__setitem__
        match event:
            case e.BatchProduced():
                add(f"score/{event.stage}", event.mean_score_milli / 1000)
                add("tokens", self._numbers.get("tokens", 0.0) + event.num_tokens)
            case e.Trained(loss=loss, grad_norm=norm):
                add("loss", float("nan") if loss is None else loss)
                add("grad_norm", float("nan") if norm is None else norm)
                add("step_s", event.took_s)
            case e.Evaluated() if event.num_questions:
                add("accuracy", event.num_correct / event.num_questions)
            case e.CreditsChanged():
                add("credits/settled", event.settled_micro / 1e6)
                add("credits/claimed", event.claimed_micro / 1e6)
            case e.RoundEnded():
                for part in ("total", "generate", "train", "wait", "network", "chain"):
                    add(f"time/{part}_s", getattr(event, f"{part}_s"))
                numbers, self._numbers = self._numbers, {}
                return event.round, numbers
            case _:
                pass
        return None


class Curves:
    """Follows ``log`` from ``position`` on, and hands each ended round to ``tracker``, until ``stop``."""

    def __init__(
        self, log: Path, tracker: Tracker, on_failure: Callable[[Exception], None], position: Position = START
    ) -> None:
        self._log = log
        self._tracker = tracker
        self._on_failure = on_failure
        self._position = position
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="curves", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Hand over what is left; a tracker that hangs is left behind after ``timeout_s``."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        rounds = Rounds()
        try:
            for chunk in follow(self._log, self._stop, self._position, POLL_S):
                for logged in chunk.events:
                    self._hand_over(rounds, logged)
            self._tracker.finish()
        except Exception as error:  # whatever a tracker does must not reach the peer
            self._on_failure(error)

    def _hand_over(self, rounds: Rounds, logged: LoggedEvent) -> None:
        ended = rounds.take(logged.event)
        if ended is not None:
            number, numbers = ended
            self._tracker.log(numbers, number)
