"""Why this module exists: a model is measured in a process of its own (``swarm.app.pacing``), which is then gone.

``python -m swarm.app.trial`` reads settings and a run's rules as JSON from stdin; the last line that it prints is the
speed, or the error that kept it from measuring.
"""

from __future__ import annotations

import base64
import sys
import time
from typing import Any

import msgspec

from protocol.codec import decode
from protocol.run import RunSpec
from swarm.app.building import run_engine
from swarm.failures import report
from swarm.policy.trial import measure
from swarm.settings.config import Settings


def main() -> int:
    order: dict[str, Any] = msgspec.json.decode(sys.stdin.buffer.read())
    chosen = Settings.model_validate(order["settings"])
    run = decode(base64.b64decode(order["run"]), RunSpec)
    try:
        engine = run_engine(chosen, run)
        speed = measure(engine, engine.prompt_length, run.game, run.learn.num_updates, time.monotonic)
    except Exception as error:  # whatever it is, who founds the run is told
        return report(error, as_json=True)
    print(msgspec.json.encode(speed).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
