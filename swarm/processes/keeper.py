"""Why this module exists: several peers of one machine in somebody's swarm are looked after by one process.

Each is a process of its own with its own identity, wallet, settings (HOME/peers/NAME/config.yaml) and ports. One that
dies is started again, with growing pauses and for as long as it takes; one that stalls is told of, and started again
where that can help. A peer that cannot play at all (settings, identity) ends alone; the others play on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from swarm.observe.notes import Note
from swarm.processes.children import Child, describe_exit
from swarm.processes.guardian import start_guardian
from swarm.processes.launcher import SWARM
from swarm.processes.pulse import ServiceManager, look_at
from swarm.processes.watching import Telling, print_events
from swarm.settings.home import Home


class Keeper:
    """Peers by their names. ``run`` returns when all of them ended for good: 0, or the first bad exit code."""

    def __init__(
        self,
        home: Home,
        names: Sequence[str],
        num_rounds: int | None,
        started_at: float,
        options: Sequence[str],
        *,
        program: Sequence[str] = SWARM,
    ) -> None:
        self.home = home
        self.started_at = started_at
        self.notes: list[Note] = []
        rounds = ("--rounds", str(num_rounds), "--since", str(started_at)) if num_rounds else ()
        self._peers = [
            Child(
                f"peer {name}",
                [*program, "run", "--peer", name, "--kept", "--json", *rounds, *options, "--home", str(home.root)],
                home.peer(name).log_file,
                self.notes.append,
                look=look_at(home.peer(name).events_file, lambda: None),
                gives_up=False,
            )
            for name in names
        ]

    async def run(self, telling: Telling | None = None) -> int:
        """Until every peer ended for good, or cancelled; then all are ended in order."""
        with start_guardian():
            showing = asyncio.ensure_future(print_events(self.home.root, self.started_at, self.notes, telling))
            playing = [asyncio.ensure_future(self._keep(child)) for child in self._peers]
            ServiceManager().tell("READY=1", f"STATUS=Looking after {len(playing)} peers.")
            try:
                codes = await asyncio.gather(*playing)
                return next((code for code in codes if code), 0)
            finally:
                await asyncio.shield(asyncio.gather(*(child.stop() for child in self._peers)))
                for task in (*playing, showing):
                    task.cancel()
                await asyncio.gather(*playing, showing, return_exceptions=True)

    async def _keep(self, child: Child) -> int:
        code = await child.supervise()
        if code != 0:
            error = child.error()
            words = f": {error.what} {error.next_step}" if error is not None else f". Its log is {child.log_file}."
            self.notes.append(Note(f"{child.name} ended for good with {describe_exit(code)}{words}", is_trouble=True))
        return code if code >= 0 else 128 - code
