"""Why this module exists: a fleet's logs are read by programs: one JSON object per line, with who, which run and round.

Everything that a process says on stderr goes through a ``JsonLogs``: the events of its peer, what the program itself
has to say, and the loggers of the libraries under it. Each line has ``timestamp``, ``level``, ``event`` (words), and
``peer``, ``run``, ``round`` as far as they are known. Known secrets, values that are named like secrets, and everything
of a web address that may hold a key are taken out.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Collection, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import msgspec
import structlog

from protocol import events as e
from protocol.errors import SwarmError
from protocol.events import LoggedEvent
from swarm.observe.console import Follower
from swarm.observe.lines import line
from swarm.observe.notes import Note
from swarm.observe.text import plain

LIBRARIES = (
    "hivemind", "transformers", "web3", "datasets", "huggingface_hub", "torch", "asyncio", "aiohttp", "py.warnings",
)  # fmt: skip
"""Loggers that get handlers of their own, or none, when their library is imported."""

HIDDEN = "(hidden)"
_TEXT, _ITEMS = 400, 32
_QUIET = (e.Progress, e.PeerSeen, e.NetworkUsed, e.QuestionPlayed)
_NAMED = re.compile(
    r"(?i)\b(pass(?:word|phrase|wd)?|secret|private[ _-]?key|mnemonic|api[ _-]?key|authorization|token)"
    r"(['\"]?\s*[=:]\s*)"
    r"(?:bearer\s+)?['\"]?[^\s'\",;]+"
)
_ADDRESS = re.compile(r"(?i)\b((?:https?|wss?)://)(?:[^\s/@'\"]*@)?([^\s/?#'\"]+)([/?#][^\s'\"]*)?")
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


def redacted(text: str, secrets: Collection[str] = ()) -> str:
    """``text`` without ``secrets``, without values that are named like secrets, and with web addresses cut after their
    host (keys hide in the rest), except those of this machine."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _NAMED.sub(rf"\1\2{HIDDEN}", text)
    return _ADDRESS.sub(_cut, text)


def _cut(match: re.Match[str]) -> str:
    scheme, host, rest = match.group(1), match.group(2), match.group(3) or ""
    if host.startswith(_LOCAL) and "@" not in match.group(0):
        return match.group(0)
    return f"{scheme}{host}{'/…' if rest not in ('', '/') else rest}"


class JsonLogs:
    """The process's logs as JSON on ``stream``. One per process: it takes over the root logger.

    ``bound``: what every line says of its sender (``peer``, ``run``, ``round``), kept up by whoever knows.
    """

    def __init__(self, stream: TextIO | None = None, secrets: Collection[str] = ()) -> None:
        self.bound: dict[str, Any] = {}
        self._secrets: tuple[str, ...] = ()
        self.hide(secrets)
        shared: list[Any] = [
            structlog.stdlib.add_log_level,
            self._bind,
            _stamp,
            self._redact,
        ]
        structlog.configure(
            processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        self._handler = logging.StreamHandler(stream or sys.stderr)
        self._handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *shared],
                processors=[
                    structlog.processors.format_exc_info,
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    self._redact,
                    _in_order,
                    structlog.processors.JSONRenderer(),
                ],
            )
        )
        self._handler.addFilter(_not_small_talk)
        root = logging.getLogger()
        root.handlers = [self._handler]
        root.setLevel(logging.WARNING)
        logging.captureWarnings(True)
        self.logger = structlog.stdlib.get_logger("swarm")
        logging.getLogger("swarm").setLevel(logging.DEBUG)
        self.adopt()

    def hide(self, secrets: Collection[str]) -> None:
        """From now on these are never said, either. What is shorter than four characters hides nothing."""
        known = {*self._secrets, *(secret for secret in secrets if len(secret) >= 4)}
        self._secrets = tuple(sorted(known, key=len, reverse=True))

    def adopt(self) -> None:
        """Make the libraries' loggers speak through this one, also those that were imported since. Cheap."""
        for name in LIBRARIES:
            logger = logging.getLogger(name)
            strange = [
                one for one in logger.handlers if type(one) is logging.StreamHandler and one is not self._handler
            ]
            for handler in strange:
                logger.removeHandler(handler)
            if name == "hivemind":  # its records are kept apart (``swarm.dht.daemon``); what matters is told here, too
                logger.propagate = False
                if self._handler not in logger.handlers:
                    logger.addHandler(self._handler)
            else:
                logger.propagate = True

    def tell(self, logged: LoggedEvent, nickname: str, **who: Any) -> None:
        """One event as one line, under its own time."""
        event = logged.event
        number = getattr(event, "round", None)
        told = line(event, "") or ""
        level = "debug" if isinstance(event, _QUIET) else "warning" if _is_warning(event) else "info"
        words = told.removeprefix(": ") or plain(getattr(event, "what", ""), _TEXT) or type(event).__name__
        fields = {"type": type(event).__name__, "nickname": plain(nickname, 40), "seq": logged.seq}
        data = _small(msgspec.to_builtins(event))
        data.pop("type", None)
        round_said = {} if number is None else {"round": number}
        getattr(self.logger, level)(words, at=logged.at, **fields, **who, **round_said, data=data)

    def fail(self, error: SwarmError) -> None:
        """The error that ends the process."""
        self.logger.error(
            error.what,
            type=type(error).__name__,
            so_what=error.so_what,
            next=error.next_step,
            exit_code=error.exit_code,
        )

    def _bind(self, _logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in self.bound.items():
            entry.setdefault(name, value)
        return entry

    def _redact(self, _logger: Any, _method: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {name: self._clean(value) for name, value in entry.items()}

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return redacted(value, self._secrets)
        if isinstance(value, dict):
            return {name: self._clean(inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._clean(inner) for inner in value]
        return value


class JsonPrinter:
    """Follows the logs of a home, or of one of its peers (``only``), from ``since`` (unix s) on."""

    def __init__(self, logs: JsonLogs, home: Path, since: float = 0.0, only: str | None = None) -> None:
        self._logs = logs
        self._only = only
        self._follower = Follower(home, since, only)

    def poll(self) -> int:
        """Tell what is new; the number of events told."""
        self._logs.adopt()
        found = self._follower.poll_named()
        for name, nickname, logged in found:
            number = getattr(logged.event, "round", None)
            if number is not None and self._only is not None:
                self._logs.bound["round"] = number
            self._logs.tell(logged, nickname, peer=name)
        return len(found)

    def bind(self, **known: Any) -> None:
        """What every line says from now on."""
        self._logs.bound.update(known)

    def hide(self, secrets: Collection[str]) -> None:
        """What must not be said, as soon as it is known."""
        self._logs.hide(secrets)

    def note(self, note: Note) -> None:
        """Something that the program itself has to say: at level ``warning`` where it is trouble, else at ``info``."""
        (self._logs.logger.warning if note.is_trouble else self._logs.logger.info)(note.text)

    def __enter__(self) -> JsonPrinter:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _stamp(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An event happened when its log says (``at``); everything else happens now."""
    at = datetime.fromtimestamp(entry.pop("at", None) or time.time(), UTC)
    entry["timestamp"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return entry


def _in_order(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """When, how bad and what come first: for eyes, too."""
    return {name: entry[name] for name in ("timestamp", "level", "event") if name in entry} | dict(entry)


def _not_small_talk(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] == "swarm"


def _is_warning(event: e.Event) -> bool:
    return isinstance(event, (e.Problem, e.RecordRejected, e.Struck, e.Restarted, e.MemoryShrunk, e.StepSkipped)) or (
        isinstance(event, e.Stopped) and event.exit_code != 0
    )


def _small(value: Any) -> Any:
    """A value for a log line: text on one line and cut, long lists cut."""
    if isinstance(value, str):
        return plain(value, _TEXT)
    if isinstance(value, dict):
        return {plain(str(name), 128): _small(inner) for name, inner in list(value.items())[:_ITEMS]}
    if isinstance(value, (list, tuple)):
        return [_small(inner) for inner in value[:_ITEMS]]
    return value
