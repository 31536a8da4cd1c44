"""Why this module exists: whoever joins a run with questions of its own gets them from a peer that has them."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.errors import BadRecord, NetworkError
from protocol.events import Progress
from protocol.ids import PeerId
from protocol.messages import BlobRef
from protocol.run import RunSpec
from rewards.levels import levels_of
from swarm.dht.transport import RecordKey, Transport
from swarm.member.presence import KIND
from swarm.observe.eventlog import EventLog
from swarm.tasks.base import Task
from swarm.tasks.files import QuestionFiles
from swarm.tasks.registry import open_task


async def open_run_task(
    run: RunSpec, files: QuestionFiles, transport: Transport, bootnodes: Sequence[str], events: EventLog | None = None
) -> Task:
    """The run's task. Questions that it brings come from ``files``, or else from bootnodes and peers, and are kept and
    served from then on.

    Raises ``ConfigError`` where this program cannot serve the task, or a round of the run could not be asked,
    ``NetworkError`` where nobody has its questions.
    """
    data = run.task.data
    if data is None:
        return _asking_every_level(run, open_task(run.task))
    kept = blob = files.find(data.content)
    if blob is None:
        if events is not None:
            events.append(Progress("fetching the questions"))
        hosts = [PeerId(address.rpartition("/p2p/")[2]) for address in bootnodes]
        peers = await transport.collect(RecordKey(run.id, KIND, 0))
        try:
            blob = await transport.fetch(BlobRef(data.content, data.size), *dict.fromkeys([*hosts, *peers]))
        except BadRecord as error:
            raise NetworkError(
                f"Nobody gives out the run's {data.rows} questions: {error.what}",
                "Nothing was started; no credits are touched.",
                "Join while the host or a peer that has them is online, or try again.",
            ) from error
    task = _asking_every_level(run, open_task(run.task, blob))
    if kept is None:
        files.keep(blob)
    transport.serve_from(files.find)
    return task


def _asking_every_level(run: RunSpec, task: Task) -> Task:
    """``task``; raises ``ConfigError`` now and not in the round of a level that has too few questions."""
    rules = levels_of(run)
    for level in range(rules.lowest, rules.highest + 1) if rules is not None else (0,):
        task.questions(0, run.game.num_questions, level=level)
    return task
