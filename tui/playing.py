"""Why this module exists: a recording needs a clock of its own, which stops, runs faster, and jumps.

``Player`` is the source of a replay: the feed's thread winds the tapes, the screen's thread presses the buttons.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from swarm.observe.rewind import Rewind, RoundMark
from swarm.observe.store import Store

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_LULL_S = 3.0
"""Real seconds of silence that are sat through; longer ones are passed over."""


class Deck(NamedTuple):
    """What a replay's controls show. Times are unix seconds of the recording."""

    first_at: float
    last_at: float
    now: float
    playing: bool
    speed: float
    rounds: tuple[RoundMark, ...]


class Player:
    """Plays the logs under ``home`` from ``round`` on (the newest round when None, the beginning when 0).

    ``real`` gives unix seconds. Everything but ``refresh`` and ``close`` may be called from any thread.
    """

    def __init__(
        self, home: Path, round: int | None = None, *, speed: float = 4.0, playing: bool = True,
        real: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._lock = threading.RLock()
        self._real = real
        self._rewind = Rewind(home)
        self.peers: dict[str, Store] = self._rewind.peers
        self.host: Store | None = None
        self._speed = speed
        self._playing = playing
        self._anchor = (real(), self._start(round))

    def refresh(self) -> bool:
        """Wind the tapes to the present moment of the recording."""
        changed = self._rewind.wind(self.now())
        with self._lock:
            following = self._rewind.next_at()
            if self._playing and following is not None and following - self.now() > _LULL_S * self._speed:
                self.seek(following - self._speed * 0.5)
        return changed

    def close(self) -> None:
        self._rewind.close()

    def now(self) -> float:
        """The present moment of the recording."""
        with self._lock:
            at_real, at = self._anchor
            moved = (self._real() - at_real) * self._speed if self._playing else 0.0
            return min(at + moved, self._rewind.last_at)

    def deck(self) -> Deck:
        with self._lock:
            rewind = self._rewind
            return Deck(rewind.first_at, rewind.last_at, self.now(), self._playing, self._speed, rewind.rounds)

    def toggle(self) -> None:
        """Pause or go on; at the end, begin again."""
        with self._lock:
            if not self._playing and self.now() >= self._rewind.last_at:
                self.seek(self._rewind.first_at)
            self._set(self.now(), not self._playing, self._speed)

    def change_speed(self, steps: int) -> None:
        """So many steps faster (or slower)."""
        with self._lock:
            place = min(range(len(SPEEDS)), key=lambda index: abs(SPEEDS[index] - self._speed))
            speed = SPEEDS[min(len(SPEEDS) - 1, max(0, place + steps))]
            self._set(self.now(), self._playing, speed)

    def seek(self, at: float) -> None:
        """Jump to a moment."""
        with self._lock:
            at = min(max(at, self._rewind.first_at), self._rewind.last_at)
            self._set(at, self._playing, self._speed)

    def skip(self, seconds: float) -> None:
        self.seek(self.now() + seconds)

    def skip_rounds(self, steps: int) -> None:
        """To the beginning of a round before or after; back within a round goes to its own beginning first."""
        with self._lock:
            starts = [mark.opened_at for mark in self._rewind.rounds]
            now = self.now()
            if steps > 0:
                later = [at for at in starts if at > now + 0.01]
                self.seek(later[0] if later else self._rewind.last_at)
            else:
                earlier = [at for at in starts if at < now - 1.0]
                self.seek(earlier[-1] if earlier else self._rewind.first_at)

    def _start(self, round: int | None) -> float:
        rounds = self._rewind.rounds
        if round is None:
            return rounds[-1].opened_at if rounds else self._rewind.first_at
        chosen = [mark for mark in rounds if mark.round == round]
        return chosen[0].opened_at if chosen else self._rewind.first_at

    def _set(self, at: float, playing: bool, speed: float) -> None:
        self._playing, self._speed = playing, speed
        self._anchor = (self._real(), at)
