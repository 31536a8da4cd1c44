"""Why this module exists: a command that fails says so in one way, to people on stderr and to programs as JSON.

    error: WHAT happened          {"error": CLASS, "exit_code": N, "what": …, "so_what": …, "next": …}
    so what
    what to do next

The launcher reads its children's failures back from that JSON (``from_json``), so that nobody has to search a log.
"""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from protocol import errors
from protocol.errors import SwarmError

CUT_SHORT = "The command ended. What was signed, earned and saved before is on disk and on the chain."
_SURROUNDINGS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
"""Errors of files that say something about the machine, not about this program."""

_LINE_CAP = 16 * 1024


def report(error: Exception, *, as_json: bool = False) -> int:
    """Tell a failure, on stderr in words and with ``as_json`` as the last line of stdout; returns the exit code.

    Only an error that nobody foresaw shows a traceback.
    """
    told = in_words(error)
    if told is not error and told.exit_code == SwarmError.exit_code:
        traceback.print_exception(error, file=sys.stderr)
    _ways[-1](told)
    if as_json:
        name = type(told if told.exit_code != SwarmError.exit_code else error).__name__
        print(json.dumps(to_json(told) | {"error": name}), flush=True)
    return told.exit_code


def _print(told: SwarmError) -> None:
    for part in (f"error: {told.what}", told.so_what, told.next_step):
        if part:
            print(part, file=sys.stderr, flush=True)


_ways: list[Callable[[SwarmError], None]] = [_print]


def tell_through(way: Callable[[SwarmError], None]) -> None:
    """From now on failures are told ``way``, not in lines: where a process's logs are read by programs."""
    _ways.append(way)


def in_words(error: Exception) -> SwarmError:
    """``error`` itself, or the typed error that stands for it: ``ConfigError`` for a disk that is full or not
    writable, ``SwarmError`` (exit code 1) for what nobody foresaw."""
    if isinstance(error, SwarmError):
        return error
    if isinstance(error, OSError) and error.errno in _SURROUNDINGS and error.filename is not None:
        return errors.ConfigError(
            f"{error.filename} cannot be used: {error.strerror}.",
            CUT_SHORT,
            "Make room or correct its owner and mode, or choose another --home.",
        )
    text = " ".join(str(error).split())[:300]
    return SwarmError(
        f"Unexpected {type(error).__name__}{f': {text}' if text else ''}",
        CUT_SHORT,
        "This is a defect of the program: please report it with the lines above. Starting again is safe.",
    )


def to_json(error: SwarmError) -> dict[str, Any]:
    """An error as programs read it; ``error`` is the name of its class."""
    return {
        "error": type(error).__name__,
        "exit_code": error.exit_code,
        "what": error.what,
        "so_what": error.so_what,
        "next": error.next_step,
    }


def from_json(line: str) -> SwarmError | None:
    """The error in a line that ``report`` wrote, of the same class where it is one of ``protocol.errors``, else of the
    one with its exit code; ``None`` for any other line."""
    if not line.startswith("{") or len(line) > _LINE_CAP:
        return None
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not {"error", "exit_code", "what", "so_what", "next"} <= body.keys():
        return None
    what, so_what, next_step = (str(body[key]) for key in ("what", "so_what", "next"))
    return _class_of(str(body["error"]), body["exit_code"])(what, so_what, next_step)


def _class_of(name: str, exit_code: object) -> type[SwarmError]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SwarmError)]
    fitting = [kind for kind in kinds if kind.exit_code == exit_code and kind is not errors.BadRecord]
    return next((kind for kind in fitting if kind.__name__ == name), fitting[0] if fitting else SwarmError)
