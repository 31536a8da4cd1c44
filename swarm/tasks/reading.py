"""Why this module exists: people keep questions in whatever they have; the ``datasets`` library reads it, once.

Only who founds a run reads a file or the hub. What is read becomes a question set (``swarm.tasks.questions``), and
nobody else needs the file, the library or the hub.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from protocol.errors import ConfigError

KINDS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
"""File name ending -> the library's name of the format."""

SOURCE_CAP = 4_000_000
"""Rows. Whoever has more should choose some."""

FILE_CAP = 512 * 1024 * 1024
"""Bytes of a file, or of what a Parquet file says that it unpacks to: some libraries hold all of it at once."""

LINE_CAP = 1024 * 1024
"""Bytes of a line; a row that is longer holds no question."""

_NOTHING = "Nothing was started."


class Source(msgspec.Struct, frozen=True):
    """Where questions are: ``file``, or ``hub`` (a data set's name there, with its ``config``), and its ``split``.

    ``question`` and ``answer`` name columns. ``answer_after``: of an answer, only what follows the last of these counts
    (GSM8K has ``####`` before the result). ``level``: the column that says how hard a question is.
    """

    file: str = ""
    hub: str = ""
    config: str = ""
    split: str = "train"
    question: str = "question"
    answer: str = "answer"
    answer_after: str = ""
    level: str = ""


class Item(NamedTuple):
    """A question as its source has it. ``level``: what is written in that column; empty without one."""

    question: str
    answer: str
    level: str = ""


def read(source: Source, folder: Path) -> Iterator[Item]:
    """The questions of a source; a relative ``file`` lies in ``folder``.

    Raises ``ConfigError``: no such file or format, damaged, too large, with a line that is, without these columns, or a
    hub that cannot be reached.
    """
    try:
        for number, row in enumerate(_rows(source, folder)):
            if number >= SOURCE_CAP:
                raise ConfigError(
                    f"{_name(source)} has more than {SOURCE_CAP} rows.", _NOTHING, "Choose some of them for the file."
                )
            answer = _result(_text(row, source.answer, source), source.answer_after)
            level = _text(row, source.level, source) if source.level else ""
            yield Item(_text(row, source.question, source), answer, level)
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(
            f"{_name(source)} cannot be read: {_first_line(error)}",
            _NOTHING,
            "Check the name and the network, or download it and name the file.",
        ) from error
    except Exception as error:  # every format's library has errors of its own
        raise ConfigError(
            f"{_name(source)} is damaged or of another format: {_first_line(error)}",
            _NOTHING,
            "Write one question a row, as JSON lines, CSV or Parquet.",
        ) from error


def _rows(source: Source, folder: Path) -> Iterable[Mapping[str, Any]]:
    if source.file:
        path = folder / Path(source.file).expanduser()
        kind = KINDS.get(path.suffix.lower())
        if kind is None:
            raise ConfigError(
                f"{path.name} has none of the endings {', '.join(KINDS)}.", _NOTHING, "Save it as one of these."
            )
        if not path.is_file():
            raise ConfigError(f"There is no {path}.", _NOTHING, "Correct `file` in the task file.")
        _require_sane(path)
        where: dict[str, Any] = {"path": kind, "data_files": str(path), "split": "train"}
        columns = filter(None, (source.question, source.answer, source.level))
        if kind == "csv":  # as written: 07.50 is not 7.5, and NA is a word
            where |= {"converters": dict.fromkeys(columns, str), "na_filter": False}
    else:
        os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "20")
        where = {"path": source.hub, "name": source.config or None, "split": source.split}
    import datasets

    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    rows: Iterable[Mapping[str, Any]] = datasets.load_dataset(**where, streaming=True)
    return rows


def _require_sane(path: Path) -> None:
    """Raises ``ConfigError`` for a file that would take a library more memory than questions do; reads little of it."""
    size = path.stat().st_size
    if path.suffix.lower() == ".parquet":
        from pyarrow import parquet

        size = max(size, _unpacked_size(parquet.ParquetFile(path).metadata))
    if size > FILE_CAP:
        raise ConfigError(
            f"{path.name} is larger than {FILE_CAP >> 20} MB.", _NOTHING, "Choose some of its rows and columns."
        )
    if path.suffix.lower() in (".jsonl", ".csv"):
        with path.open("rb") as lines:
            number = 0
            while line := lines.readline(LINE_CAP + 1):
                number += 1
                if len(line) > LINE_CAP:
                    raise ConfigError(
                        f"Line {number} of {path.name} is longer than {LINE_CAP} bytes.",
                        _NOTHING,
                        "Write one question a line, with up to 2000 characters.",
                    )


def _unpacked_size(metadata: Any) -> int:
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return sum(group.total_byte_size for group in groups)


def _text(row: Mapping[str, Any], column: str, source: Source) -> str:
    value = row.get(column)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if column in row:
        raise ConfigError(
            f"Column {column!r} of {_name(source)} holds something that is neither text nor a number.",
            _NOTHING,
            "Name columns of plain text with `question`, `answer` and `level` in the task file.",
        )
    raise ConfigError(
        f"{_name(source)} has no column {column!r}; its columns are {', '.join(map(str, row))[:200]}.",
        _NOTHING,
        "Name them with `question`, `answer` and `level` in the task file.",
    )


def _result(answer: str, after: str) -> str:
    return answer.rpartition(after)[2] if after else answer


def _name(source: Source) -> str:
    return source.file or f"The data set {source.hub!r}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
