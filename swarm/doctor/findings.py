"""Why this module exists: every check answers in the same form: what was found, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from swarm.observe.text import plain


class Level(StrEnum):
    """``FAIL``: this peer cannot take part, or earns nothing. ``WARN``: it can, and something is about to go wrong.
    ``SKIPPED``: it was not looked at, and ``what`` says why."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


class Finding(msgspec.Struct, frozen=True):
    """One line. ``fix`` is empty where nothing is to be done. ``took_ms``: of what was measured."""

    name: str
    level: Level
    what: str
    fix: str = ""
    took_ms: float | None = None


def ok(name: str, what: str, *, took_ms: float | None = None) -> Finding:
    return Finding(name, Level.OK, what, "", took_ms)


def warn(name: str, what: str, fix: str, *, took_ms: float | None = None) -> Finding:
    return Finding(name, Level.WARN, what, fix, took_ms)


def fail(name: str, what: str, fix: str, *, took_ms: float | None = None) -> Finding:
    return Finding(name, Level.FAIL, what, fix, took_ms)


def skipped(name: str, why: str, fix: str = "") -> Finding:
    return Finding(name, Level.SKIPPED, why, fix)


def is_fit(findings: Iterable[Finding]) -> bool:
    """Whether nothing keeps this machine from taking part."""
    return all(finding.level is not Level.FAIL for finding in findings)


def _but(warned: int) -> str:
    return f", with {warned} warning{'' if warned == 1 else 's'}" if warned else ""


_MARKS = {Level.OK: "ok", Level.WARN: "WARN", Level.FAIL: "FAIL", Level.SKIPPED: "–"}


def in_words(findings: Sequence[Finding]) -> list[str]:
    """A line each, its fix below it where there is one, and a last one that says what it means."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        took = "" if finding.took_ms is None else f" ({finding.took_ms:.0f} ms)"
        lines.append(f"{_MARKS[finding.level]:<4}  {finding.name:<{width}}  {plain(finding.what, 600)}{took}")
        if finding.fix:
            lines.append(f"      {'':<{width}}  → {plain(finding.fix, 600)}")
    failed = [finding.name for finding in findings if finding.level is Level.FAIL]
    warned = sum(finding.level is Level.WARN for finding in findings)
    if failed:
        lines.append(f"This machine is not fit to take part: {', '.join(failed)}.")
    else:
        lines.append(f"This machine is fit to take part{_but(warned)}.")
    return lines
