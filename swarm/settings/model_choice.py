"""Why this module exists: which model a machine can carry is a line of configuration, not something people must know.

Pure. The pool is a list of GB:MODEL, from small to large; ``MODEL_NAME`` in the environment overrides everything but
the program's own variable and the command line, as it does for other peers of such swarms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protocol.errors import ConfigError
from swarm.settings.layers import Layers

AUTO = "auto"
"""The name of a model that is chosen by memory, by whoever founds a run; whoever joins one follows its token."""


def pick(pool: Sequence[str], free_gb: float) -> str:
    """The last model of the pool that ``free_gb`` of memory are enough for.

    Raises ``ConfigError`` for an entry that is not GB:MODEL, or where none is small enough."""
    fits = [model for least_gb, model in map(_entry, pool) if least_gb <= free_gb]
    if not fits:
        raise ConfigError(
            f"No model of run.model_pool is for {free_gb:.1f} GB of free memory.",
            "Nothing was started.",
            "Close other programs, add a smaller one to the pool, or name a model with --model.",
        )
    return fits[-1]


def model_name(environment: Mapping[str, str]) -> Layers:
    """``run.model`` by the variable ``MODEL_NAME``, where it is set."""
    name = environment.get("MODEL_NAME", "")
    return Layers({"run.model": (name, "environment variable MODEL_NAME")} if name else {})


def _entry(text: str) -> tuple[float, str]:
    least_gb, _, model = text.partition(":")
    try:
        found = float(least_gb)
    except ValueError:
        found = -1.0
    if not model or not found >= 0:
        raise ConfigError(
            f"run.model_pool: {text[:80]!r} is not GB:MODEL.",
            "Nothing was started.",
            "Write for instance 0:tiny,6:HuggingFaceTB/SmolLM2-135M-Instruct,10:Qwen/Qwen3-0.6B.",
        )
    return found, model
