"""Why this module exists: a setting that cannot be used is reported with the place that it was written in.

A ``Layers`` is dotted key -> (value, source); laying one over another keeps the upper's keys. Files, environment and
command line are three ways to fill one. Knows no settings: the known keys are handed in.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from protocol.errors import ConfigError

ENVIRONMENT_PREFIX = "SWARM_"
OTHER_VARIABLES = frozenset({"SWARM_PYTHON", "SWARM_WALLET_PASSWORD", "SWARM_BACKUP_PASSWORD"})
"""Variables that are no settings: which Python run_swarm.sh takes, and the wallet's password."""

_FILE_CAP = 256 * 1024
_NOTHING = "Nothing was started."


@dataclass(frozen=True)
class Layers:
    """Settings with their origin: dotted key -> (value, where it was written)."""

    values: Mapping[str, tuple[Any, str]]

    @classmethod
    def of_options(cls, options: Mapping[str, Any], known: Iterable[str]) -> Layers:
        """From the command line. Keys are the program's own, so an unknown one is an error in the program."""
        unknown = set(options) - set(known)
        assert not unknown, f"no such settings: {unknown}"
        return cls({key: (value, "command line") for key, value in options.items()})

    @classmethod
    def of_environment(cls, environment: Mapping[str, str], known: Iterable[str]) -> Layers:
        """From ``SWARM_SECTION__KEY`` variables; an empty one is not set, an unknown one a ``ConfigError``."""
        names = {ENVIRONMENT_PREFIX + key.upper().replace(".", "__"): key for key in known}
        values: dict[str, tuple[Any, str]] = {}
        for variable, text in environment.items():
            if not variable.startswith(ENVIRONMENT_PREFIX) or variable in OTHER_VARIABLES:
                continue
            if variable not in names:
                raise ConfigError(
                    f"There is no setting behind the environment variable {variable[:80]}.",
                    _NOTHING,
                    nearest(variable, names) or "Unset it; docs/configuration.md lists all settings.",
                )
            if text:
                values[names[variable]] = (text, f"environment variable {variable}")
        return cls(values)

    def over(self, upper: Layers) -> Layers:
        """``upper`` laid over these."""
        return Layers({**self.values, **upper.values})

    def nested(self) -> dict[str, Any]:
        """Sections as dictionaries, as a settings model reads them."""
        tree: dict[str, Any] = {}
        for key, (value, _) in self.values.items():
            section, _, name = key.rpartition(".")
            (tree.setdefault(section, {}) if section else tree)[name] = value
        return tree

    def source_of(self, key: str) -> str:
        """Where ``key`` was written; for a whole section, every place that had a part in it."""
        inside = (source for name, (_, source) in self.values.items() if name == key or name.startswith(key + "."))
        return ", ".join(dict.fromkeys(inside)) or "built-in defaults"


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name most like ``name``, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else ""


def read_layers(files: Iterable[Path], known: Iterable[str]) -> Layers:
    """YAML files, later ones over earlier ones. Raises ``ConfigError``: missing, too large, not YAML, unknown key."""
    keys = tuple(known)
    layers = Layers({})
    for file in files:
        layers = layers.over(Layers(dict(_read_file(file, keys))))
    return layers


def peers_layers(file: Path, known: Iterable[str]) -> Layers:
    """What one peer's own file sets; nothing where there is none. It lies in the home, so it cannot move it: raises
    ``ConfigError`` for ``home``, and what ``read_layers`` raises."""
    if not file.is_file():
        return Layers({})
    own = read_layers([file], known)
    if "home" in own.values:
        raise ConfigError(f"{file}: home cannot be set for one peer.", _NOTHING, "Remove it; give --home instead.")
    return own


def _read_file(path: Path, known: tuple[str, ...]) -> Iterable[tuple[str, tuple[Any, str]]]:
    sections = {key.partition(".")[0] for key in known if "." in key}
    for name, value in _load(path).items():
        if name in sections and value is None:
            continue
        if name in sections and not isinstance(value, dict):
            raise ConfigError(f"{path}: {name} is a section.", _NOTHING, f"Write its keys under it, as {name}: {{…}}.")
        inside = {f"{name}.{key}": item for key, item in value.items()} if name in sections else {str(name): value}
        for key, item in inside.items():
            if key not in known:
                raise ConfigError(
                    f"{path}: there is no setting {key[:80]}.",
                    _NOTHING,
                    nearest(key, [*known, *sections]) or "docs/configuration.md lists all settings.",
                )
            if item is not None:
                yield key, (_beside(path, item), str(path))


def _beside(path: Path, value: Any) -> Any:
    """A relative path that says so (``./`` or ``../``) is meant from where it is written."""
    is_relative = isinstance(value, str) and value.startswith(("./", "../"))
    return str((path.parent / value).resolve()) if is_relative else value


def _load(path: Path) -> dict[Any, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be read: {error.strerror}.", _NOTHING, "Check its name and mode."
        ) from error
    if len(raw) > _FILE_CAP:
        raise ConfigError(f"{path} is larger than {_FILE_CAP} bytes.", _NOTHING, "Give a configuration file.")
    try:
        content = yaml.load(raw, Loader=_OneKeyEach)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ConfigError(f"{path}{line} is not YAML: {problem}.", _NOTHING, "Correct the file.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings.", _NOTHING, "Write sections with keys (see configs/base.yaml).")
    return content


class _OneKeyEach(yaml.SafeLoader):
    """Plain YAML values only, and a key that is written twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                problem = "a key is written twice" if isinstance(key, yaml.ScalarNode) else "a key is not plain text"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
