"""Why this module exists: ``--task NAME`` names a file; what the file says becomes part of the run's id.

sums, base_conversion, mix, ...  ->  configs/tasks/NAME.yaml
anything with a slash or .yaml   ->  that file
a .jsonl, .csv or .parquet file  ->  its columns ``question`` and ``answer``, compared as text
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from protocol.errors import BadRecord, ConfigError
from protocol.run import MAX_LEVELS, RUNNING_CHECKS, FamilySpec, TaskSpec
from swarm.judges.judged import answer_cap
from swarm.tasks.base import Task
from swarm.tasks.levels import arrange, read_scale
from swarm.tasks.own import CHECKS, OwnTask, first_unjudgeable, own_version
from swarm.tasks.questions import normalised, pack
from swarm.tasks.reading import KINDS, Source, read
from swarm.tasks.reasoning_gym import ReasoningGymTask, task_version

TASKS_DIRECTORY = Path(__file__).resolve().parents[2] / "configs" / "tasks"

_FILE_CAP = 64 * 1024
_NOTHING = "Nothing was started."
_TASK_KEYS = {"name", "held_out_one_in"}
_DATA_KEYS = {"check", "limit_s", "memory_mb", "levels", *Source.__struct_fields__}
_LIMITS = {"limit_s": 60, "memory_mb": 4096}
_DEFAULTS = {"math": {"limit_s": 3}, "code": {"limit_s": 2, "memory_mb": 256}}
_FAMILY_KEYS = {"family", "weight", "parameters", "level"}


def task_names(directory: Path = TASKS_DIRECTORY) -> tuple[str, ...]:
    """Names that ``--task`` accepts, sorted."""
    return tuple(sorted(path.stem for path in directory.glob("*.yaml")))


class LoadedTask(NamedTuple):
    """A task as its file says it is. ``questions``: the blob of ``spec.data``, where there is one."""

    spec: TaskSpec
    questions: bytes | None


def load_task(name_or_path: str, directory: Path = TASKS_DIRECTORY) -> LoadedTask:
    """The task in a file. Raises ``ConfigError``: no such file, not YAML, unknown or missing key, wrong type, or data
    that cannot be asked."""
    path = Path(name_or_path).expanduser()
    if path.suffix.lower() in KINDS:
        return _with_data(path.stem, 8, {"file": path.name}, path)
    is_path = name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path
    path = path if is_path else directory / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(task_names(directory))
        raise ConfigError(
            f"There is no task {name_or_path!r}.",
            _NOTHING,
            f"Name one of {known}, a YAML file, or a file of questions ({', '.join(KINDS)}).",
        )
    if path.stat().st_size > _FILE_CAP:
        raise ConfigError(f"{path} is larger than {_FILE_CAP} bytes.", _NOTHING, "Give a task file.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {error}", _NOTHING, "Correct the file.") from error
    return _parse(content, path)


def open_task(spec: TaskSpec, questions: bytes | None = None) -> Task:
    """The task behind a spec; ``questions``: the blob of ``spec.data``. Raises ``ConfigError`` when this program cannot
    serve exactly that one."""
    if spec.data is None:
        return ReasoningGymTask(spec)
    if questions is None:
        raise ConfigError(
            f"The questions of task {spec.name!r} are not here.",
            "Nothing was started.",
            "Join while its host or a peer that has them is online.",
        )
    return OwnTask(spec, questions)


def _parse(content: Any, path: Path) -> LoadedTask:
    task = _mapping(content, _TASK_KEYS | {"families", "data"}, _TASK_KEYS, str(path))
    name, one_in = _typed(task, "name", str, path), _typed(task, "held_out_one_in", int, path)
    if ("families" in task) == ("data" in task):
        raise ConfigError(
            f"{path}: a task has either `families` or `data`.", _NOTHING, "See configs/tasks for examples of both."
        )
    if "data" in task:
        return _with_data(name, one_in, task["data"], path)
    families = task["families"]
    if not isinstance(families, list):
        raise _wrong(path, "families", "a list")
    spec = TaskSpec(
        name=name,
        version=task_version(),
        families=tuple(_family(entry, path) for entry in families),
        held_out_one_in=one_in,
    )
    ReasoningGymTask(spec)
    return LoadedTask(spec, None)


def _with_data(name: str, held_out_one_in: int, content: Any, path: Path) -> LoadedTask:
    data = _mapping(content, _DATA_KEYS, set(), f"{path}, data")
    words = {key: _typed(data, key, str, path) for key in data if key not in {*_LIMITS, "levels"}}
    check = words.pop("check", "exact")
    limits = {key: _limit({**_DEFAULTS.get(check, {}), **data}, key, path) for key in _LIMITS}
    if any(limits.values()) and check not in RUNNING_CHECKS:
        raise ConfigError(
            f"{path}: only {sorted(RUNNING_CHECKS)} have limits.", _NOTHING, "Leave limit_s and memory_mb out."
        )
    source = Source(**words)
    if bool(source.file) == bool(source.hub):
        raise ConfigError(f"{path}: data has either `file` or `hub`.", _NOTHING, "Name one of them.")
    if check not in CHECKS:
        kinds = "; ".join(f"{kind}: {meaning}" for kind, meaning in CHECKS.items())
        raise ConfigError(f"{path}: there is no check {check!r}.", _NOTHING, f"Use one of these: {kinds}.")
    if "levels" in data and not source.level:
        raise ConfigError(f"{path}: levels are read from a column.", _NOTHING, "Name it with `level`.")
    scale, items = read_scale(data.get("levels"), str(path)), read(source, path.parent)
    sizes: tuple[int, ...] = ()
    if source.level:
        rows, num_left_out, sizes = arrange(items, scale, check, str(path))
    else:
        rows, num_left_out = normalised(((item.question, item.answer) for item in items), check)
    if not rows:
        raise ConfigError(
            f"{source.file or source.hub} holds no question that can be asked ({num_left_out} are empty or too long).",
            _NOTHING,
            f"Questions have up to 2000 characters, answers up to {answer_cap(check)}.",
        )
    bad = first_unjudgeable(rows, check)
    if bad is not None:
        raise ConfigError(
            f"No answer to question {bad[0] + 1} could be right: {bad[1][:60]!r} cannot be checked as {check!r} "
            f"({CHECKS[check]}){f': {bad[2]}' if bad[2] else ''}.",
            _NOTHING,
            "Use another `check`, or `answer_after` for what stands before the result.",
        )
    try:
        question_set, blob = pack(rows, check, **limits, levels=sizes)
    except BadRecord as error:
        raise ConfigError(f"{path}: {error.what}", _NOTHING, "Leave some questions out.") from error
    spec = TaskSpec(name, own_version(check), (), held_out_one_in, question_set)
    OwnTask(spec, blob)
    return LoadedTask(spec, blob)


def _family(entry: Any, path: Path) -> FamilySpec:
    family = _mapping(entry, _FAMILY_KEYS, {"family"}, f"{path}, families")
    parameters = family.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise _wrong(path, "parameters", "a mapping")
    try:
        text = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise _wrong(path, "parameters", "plain numbers, words and lists") from error
    level = _typed({"level": 1, **family}, "level", int, path)
    if not 1 <= level <= MAX_LEVELS:
        raise _wrong(path, "level", f"a whole number from 1 to {MAX_LEVELS}")
    return FamilySpec(
        family=_typed(family, "family", str, path), weight=_typed({"weight": 1, **family}, "weight", int, path),
        parameters=text, level=level,
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


def _limit(data: dict[str, Any], key: str, path: Path) -> int:
    if key not in data:
        return 0
    value: int = _typed(data, key, int, path)
    if not 1 <= value <= _LIMITS[key]:
        raise _wrong(path, key, f"a whole number from 1 to {_LIMITS[key]}")
    return value


def _wrong(path: Path, key: str, wanted: str) -> ConfigError:
    return ConfigError(
        f"{path}: {key} must be {wanted}.", _NOTHING, "Correct the file (see configs/tasks for examples)."
    )
