"""Why this module exists: a value is compared by its text, so that nothing that a stranger's code says is ever parsed.

Runs inside of a cell and outside of it, on the same Python values: the standard library only.
"""

from __future__ import annotations

DEPTH_CAP = 20
TEXT_CAP = 8192
"""Characters of a whole value's text; more is no value."""


def text_of(value: object, depth: int = 0) -> str:
    """One text for equal plain values: ``1``, ``1.0`` and ``True`` have the same, ``(1,)`` and ``[1]`` have not.

    Raises ``ValueError`` for anything but None, numbers, text, bytes, tuples, lists, sets and dictionaries of these
    (exactly these types: what a subclass says of itself is not asked), and for what is too deep or too long.
    """
    kind = type(value)
    if depth > DEPTH_CAP:
        raise ValueError("too deep")
    if value is None:
        text = "None"
    elif kind is bool or kind is int:
        text = int.__repr__(int(value))  # type: ignore[call-overload]
    elif kind is float:
        is_whole = float.is_integer(value) and abs(value) < 2**53  # type: ignore[arg-type]
        text = int.__repr__(int(value)) if is_whole else float.__repr__(value)  # type: ignore[call-overload]
    elif kind is str:
        text = ascii(value)
    elif kind is bytes:
        text = bytes.__repr__(value)
    elif kind in (tuple, list):
        text = f"{kind.__name__}({', '.join(_parts(list(value), depth))})"  # type: ignore[call-overload]
    elif kind in (set, frozenset):
        text = f"set({', '.join(sorted(_parts(list(value), depth)))})"  # type: ignore[call-overload]
    elif kind is dict:
        keys = _parts(list(value), depth)  # type: ignore[call-overload]
        values = _parts(list(value.values()), depth)  # type: ignore[attr-defined]
        text = f"dict({', '.join(sorted(f'{key}: {item}' for key, item in zip(keys, values, strict=True)))})"
    else:
        raise ValueError(f"{kind.__name__} is not plain data")
    if len(text) > TEXT_CAP:
        raise ValueError("too long")
    return text


def _parts(values: list[object], depth: int) -> list[str]:
    if len(values) > TEXT_CAP:
        raise ValueError("too long")
    return [text_of(one, depth + 1) for one in values]
