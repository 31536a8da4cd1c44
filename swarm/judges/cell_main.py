"""Why this module exists: what a stranger's function returns is found out in a process that can do nothing else.

    stdin   JSON: {"code", "calls", "readable", "cpu_s", "memory_bytes"}
    stdout  one line per call, ``= text`` of what it returned or ``! what went wrong``, after a first line ``ready``

The expected values are not here, so nothing that the code does can make a wrong answer right. Started by
``swarm.judges.sandbox`` as a script, with the standard library alone.
"""

import importlib.util
import json
import os
import random
import sys
from types import ModuleType

_REASON_CAP = 200


def _beside(name: str) -> ModuleType:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    cell, values = _beside("cell"), _beside("values")
    job = json.loads(sys.stdin.buffer.read())
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    text_of, encode, write = values.text_of, str.encode, os.write
    try:
        cell.limit(job["cpu_s"], job["memory_bytes"], 0)
        cell.lock_up(tuple(job["readable"]), (os.devnull,))
    except (OSError, ValueError) as error:
        write(out, f"{error}\n".encode())
        return
    write(out, b"ready\n")
    random.seed(0)  # whoever judges shall see the same
    world: dict[str, object] = {"__name__": "answer"}

    def said(what: str) -> None:
        write(out, encode(what.replace("\n", " ") + "\n", "utf-8", "replace"))

    try:
        exec(compile(job["code"], "answer", "exec"), world)
    except BaseException as error:
        said(f"! {type(error).__name__}: {error}"[:_REASON_CAP])
        return
    for call in job["calls"]:
        try:
            said("= " + text_of(eval(compile(call, "test", "eval"), world)))
        except BaseException as error:
            said(f"! {type(error).__name__}: {error}"[:_REASON_CAP])
            return


main()
os._exit(0)
