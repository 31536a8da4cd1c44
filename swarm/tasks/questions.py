"""Why this module exists: somebody's own questions are a blob, the same for all, that may come from a stranger.

The blob is the canonical encoding of (question, answer) pairs, in the order of whoever wrote them down. What it was
read from, JSON lines or Parquet, is that person's affair: it is normalised once, and its hash is part of the run.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import repeat

from protocol.codec import BLOB_CAP, content_id, decode, encode
from protocol.errors import BadRecord
from protocol.run import QuestionSet
from swarm.judges.judged import answer_cap

Rows = tuple[tuple[str, str], ...]
"""(question, answer) pairs."""

QUESTION_CAP = 2000
"""Characters of a question. Longer ones are left out, by whoever makes a set and by every generator alike."""

ROWS_CAP = 1_000_000


def tidy(text: str) -> str:
    """Text as a set has it: in Unicode's NFC, so that one question has one hash, and without white space around it."""
    return unicodedata.normalize("NFC", text).strip()


def normalised(pairs: Iterable[tuple[str, str]], check: str = "exact") -> tuple[Rows, int]:
    """What of ``pairs`` can be asked, made tidy, and how many cannot: empty or too long, or a question that was there
    before."""
    kept: dict[str, str] = {}
    cap = answer_cap(check)
    num_left_out = 0
    for question, answer in pairs:
        question, answer = tidy(question), tidy(answer)
        is_fit = 0 < len(question) <= QUESTION_CAP and 0 < len(answer) <= cap and question not in kept
        if is_fit and len(kept) < ROWS_CAP:
            kept[question] = answer
        else:
            num_left_out += 1
    return tuple(kept.items()), num_left_out


def pack(
    rows: Rows, check: str, limit_s: int = 0, memory_mb: int = 0, levels: tuple[int, ...] = ()
) -> tuple[QuestionSet, bytes]:
    """The set and its blob. ``levels``: how many of ``rows`` each level has, from easy to hard.

    Raises ``BadRecord('oversized')`` for more than a peer fetches."""
    blob = encode(rows)
    if len(blob) > BLOB_CAP:
        raise BadRecord("oversized", f"The questions take {len(blob)} bytes; at most {BLOB_CAP} can be shared.")
    return QuestionSet(content_id(blob), len(blob), len(rows), check, limit_s, memory_mb, levels), blob


def unpack(blob: bytes, data: QuestionSet) -> Rows:
    """The questions of a set. Raises ``BadRecord``: ``hash_mismatch``, ``oversized``, ``malformed``, for a blob that is
    not the set's, or that holds what nobody could ask."""
    if content_id(blob) != data.content:
        raise BadRecord("hash_mismatch", "These are not the run's questions.")
    rows = decode(blob, Rows, cap=BLOB_CAP)
    if len(rows) != data.rows or len(blob) != data.size:
        raise BadRecord("malformed", f"The question set holds {len(rows)} questions, not {data.rows}.")
    if normalised(rows, data.check) != (rows, 0):
        raise BadRecord("malformed", "The question set holds questions that are empty, too long or there twice.")
    if data.levels and (sum(data.levels) != len(rows) or 0 in data.levels):
        raise BadRecord("malformed", f"Its levels do not share out its {len(rows)} questions.")
    return rows


def row_levels(data: QuestionSet) -> Iterator[int]:
    """The level of each row, in order."""
    for level, count in enumerate(data.levels or (data.rows,), start=1):
        yield from repeat(level, count)
