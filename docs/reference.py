"""Why this module exists: references that are written by hand are wrong by the next change, so these are generated.

    python -m docs.reference           write them anew       (also: .venv/bin/python -m docs.reference)
    python -m docs.reference --check   only say which are stale; exit code 1 when any is

    configuration.md    from the settings' models            commands.md    from the command line itself
    metrics.md          from the list of metrics

A test runs the check.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.main import get_command

from swarm.cli import app
from swarm.observe.metrics import METRICS
from swarm.settings.config import Section, Settings, load_settings
from swarm.settings.layers import ENVIRONMENT_PREFIX

FOLDER = Path(__file__).resolve().parent
MADE = "<!-- Made by `python -m docs.reference`; do not edit. -->"
RULES = ("run", "game", "learn", "time", "audit", "economics")
"""Sections that are rules of a run: the founder's count for everybody."""

_NAMES: dict[Any, str] = {
    bool: "yes or no", int: "a whole number", float: "a number", str: "text", Path: "a path", type(None): "none",
}  # fmt: skip
_BOUNDS = {"Ge": "≥ {}", "Gt": "> {}", "Le": "≤ {}", "Lt": "< {}"}


# --- settings --------------------------------------------------------------------------------------------------------


def configuration() -> str:
    """docs/configuration.md."""
    local, join = load_settings("local"), load_settings("join")
    lines = [
        "# Configuration",
        "",
        MADE,
        "",
        "Every setting, with its default, what it may be, and the environment variable that sets it. How files,",
        "environment and options are laid over each other is in [configs/README.md](../configs/README.md). Where two",
        "defaults are given, the first is that of `swarm local`, the second that of `swarm host`, `run` and `up`.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
        f"| `home` | the platform's data folder | {Settings.model_fields['home'].description} |",
        "",
        "The environment variable of `home` is `SWARM_HOME`.",
    ]
    for section, model in sections():
        about = "Rules of the run: the founder's count for everybody." if section in RULES else "This machine's own."
        lines += ["", f"## {section}", "", " ".join([about, *notes(model)]), ""]
        lines += ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
        for name, field in model.model_fields.items():
            shown = default(getattr(getattr(local, section), name), getattr(getattr(join, section), name))
            cells = (f"`{section}.{name}`", shown, allowed(field), _text(field.description))
            lines.append(f"| {' | '.join(cells)} |")
        variable = f"{ENVIRONMENT_PREFIX}{section.upper()}__{next(iter(model.model_fields)).upper()}"
        lines += ["", f"Environment: `{variable}`, and so on."]
    return "\n".join(lines) + "\n"


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """(name, model) of every section, in order."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation


def notes(model: type[BaseModel]) -> list[str]:
    """What a section's own docstring adds."""
    own = model.__dict__.get("__doc__") or ""
    return [" ".join(own.split())] if own else []


def default(local: Any, join: Any) -> str:
    """Both profiles' defaults, or one where they agree."""
    return value(local) if local == join else f"{value(local)}; {value(join)}"


def value(one: Any) -> str:
    if one is None or one == ():
        return "none"
    if isinstance(one, bool):
        return f"`{str(one).lower()}`"
    return f"`{one}`"


def allowed(field: FieldInfo) -> str:
    """What a setting may be, in a few words."""
    kind = _kind(field.annotation)
    bounds = [
        _BOUNDS[name].format(getattr(one, name.lower()))
        for one in field.metadata
        if (name := type(one).__name__) in _BOUNDS
    ]
    return ", ".join([kind, *bounds])


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{one}`" for one in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_kind(one) for one in get_args(annotation))
    if get_origin(annotation) is tuple:
        return "a list of text"
    return _NAMES[annotation]


# --- commands --------------------------------------------------------------------------------------------------------


def commands() -> str:
    """docs/commands.md."""
    lines = [
        "# Commands",
        "",
        MADE,
        "",
        "Every command with its options, as `swarm COMMAND --help` tells them. In a clone `./run_swarm.sh` stands for",
        "`swarm`. What programs may rely on (exit codes, `--json`) is in [command-line.md](command-line.md).",
    ]
    for path, command in tree(get_command(app), "swarm"):
        about = " ".join((command.help or "").split())
        usage = " ".join([path, *(_usage(one) for one in command.params if one.param_type_name == "argument")])
        lines += ["", f"## {path}", "", about, "", "```", f"{usage} [OPTIONS]", "```"]
        options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        if options or arguments:
            lines += ["", "| option | default | meaning |", "|---|---|---|"]
        for one in arguments:
            lines.append(f"| {_cell(_usage(one))} | {_default(one)} | {_text(getattr(one, 'help', ''))} |")
        lines += [f"| {_names(one)} | {_default(one)} | {_text(one.help)} |" for one in options]
    return "\n".join(lines) + "\n"


def tree(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(words, command) of everything that can be typed, groups before what is in them."""
    if path != "swarm":
        yield path, command
    for name in sorted(getattr(command, "commands", {})):
        inner = command.commands[name]
        if not inner.hidden:
            yield from tree(inner, f"{path} {name}")


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _names(option: Any) -> str:
    names = "/".join([*option.opts, *option.secondary_opts])
    kind = "" if option.is_flag else f" {_wanted(option)}"
    return f"`{names}{kind}`".replace("|", "\\|") + (", several times" if option.multiple else "")


def _wanted(option: Any) -> str:
    """What an option wants, as people write it."""
    wanted = option.type_descriptor
    if wanted.is_choice:
        return "|".join(str(getattr(one, "value", one)) for one in wanted.choices or ())
    name = option.bare_type().removeprefix("list[").removesuffix("]")
    return {"int": "N", "float": "X", "Path": "PATH"}.get(name, "TEXT")


def _default(option: Any) -> str:
    found = getattr(option.default, "value", option.default)
    if found is None or found is False or found == () or callable(found):
        return ""
    return f"`{str(found).lower() if isinstance(found, bool) else found}`"


def _cell(usage: str) -> str:
    return f"`{usage}`".replace("|", "\\|")


def _text(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


# --- metrics ---------------------------------------------------------------------------------------------------------


def metrics() -> str:
    """docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        MADE,
        "",
        "What a peer serves under `/metrics`, beside the `process_…` metrics of its process. How to collect them is in",
        "[operations.md](operations.md). Totals are those of the peer's whole log, so they survive a restart.",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    for one in METRICS:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {one.kind} | {labels} | {one.help} |")
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "commands.md": commands,
    "metrics.md": metrics,
}


def stale() -> list[str]:
    """Names of the pages that are not what they would be made as now."""
    return [
        name
        for name, make in PAGES.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != make()
    ]


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` say which are stale."""
    names = stale()
    if "--check" in arguments:
        for name in names:
            print(f"docs/{name} is stale: run `python -m docs.reference`.", file=sys.stderr)
        return 1 if names else 0
    for name in names:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"docs/{name} written.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
