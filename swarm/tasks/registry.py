"""Why this module exists: ``--task NAME`` names a file; what the file says becomes part of the run's id.

sums, base_conversion, mix, ...  ->  configs/tasks/NAME.yaml
anything with a slash or .yaml   ->  that file
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from protocol.errors import ConfigError
from protocol.run import FamilySpec, TaskSpec
from swarm.tasks.reasoning_gym import ReasoningGymTask, task_version

TASKS_DIRECTORY = Path(__file__).resolve().parents[2] / "configs" / "tasks"

_FILE_CAP = 64 * 1024
_NOTHING = "Nothing was started."
_TASK_KEYS = {"name", "held_out_one_in", "families"}
_FAMILY_KEYS = {"family", "weight", "parameters"}


def task_names(directory: Path = TASKS_DIRECTORY) -> tuple[str, ...]:
    """Names that ``--task`` accepts, sorted."""
    return tuple(sorted(path.stem for path in directory.glob("*.yaml")))


def load_task_spec(name_or_path: str, directory: Path = TASKS_DIRECTORY) -> TaskSpec:
    """The task spec in a file. Raises ``ConfigError``: no such file, not YAML, unknown or missing key, wrong type."""
    is_path = name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path
    path = Path(name_or_path).expanduser() if is_path else directory / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(task_names(directory))
        raise ConfigError(f"There is no task {name_or_path!r}.", _NOTHING, f"Name one of {known}, or a YAML file.")
    if path.stat().st_size > _FILE_CAP:
        raise ConfigError(f"{path} is larger than {_FILE_CAP} bytes.", _NOTHING, "Give a task file.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {error}", _NOTHING, "Correct the file.") from error
    return _parse(content, path)


def open_task(spec: TaskSpec) -> ReasoningGymTask:
    """The task behind a spec. Raises ``ConfigError`` when this program cannot serve exactly that one."""
    return ReasoningGymTask(spec)


def _parse(content: Any, path: Path) -> TaskSpec:
    task = _mapping(content, _TASK_KEYS, _TASK_KEYS, str(path))
    families = task["families"]
    if not isinstance(families, list):
        raise _wrong(path, "families", "a list")
    spec = TaskSpec(
        name=_typed(task, "name", str, path),
        version=task_version(),
        families=tuple(_family(entry, path) for entry in families),
        held_out_one_in=_typed(task, "held_out_one_in", int, path),
    )
    ReasoningGymTask(spec)
    return spec


def _family(entry: Any, path: Path) -> FamilySpec:
    family = _mapping(entry, _FAMILY_KEYS, {"family"}, f"{path}, families")
    parameters = family.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise _wrong(path, "parameters", "a mapping")
    try:
        text = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise _wrong(path, "parameters", "plain numbers, words and lists") from error
    return FamilySpec(
        family=_typed(family, "family", str, path), weight=_typed({"weight": 1, **family}, "weight", int, path),
        parameters=text,
    )  # fmt: skip


def _mapping(value: Any, allowed: set[str], required: set[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: a mapping was expected.", _NOTHING, f"Use the keys {', '.join(sorted(allowed))}.")
    unknown = sorted(str(key) for key in value if key not in allowed)
    missing = sorted(required - set(value))
    if unknown or missing:
        words = [f"unknown: {', '.join(unknown)}"] * bool(unknown) + [f"missing: {', '.join(missing)}"] * bool(missing)
        raise ConfigError(
            f"{where}: keys {'; '.join(words)}.", _NOTHING, f"Allowed keys: {', '.join(sorted(allowed))}."
        )
    return value


def _typed(mapping: dict[str, Any], key: str, kind: type, path: Path) -> Any:
    value = mapping[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _wrong(path, key, "a number" if kind is int else "text")
    return value


def _wrong(path: Path, key: str, wanted: str) -> ConfigError:
    return ConfigError(
        f"{path}: {key} must be {wanted}.", _NOTHING, "Correct the file (see configs/tasks for examples)."
    )
