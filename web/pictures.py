"""Why this module exists: small pictures that need no script: a peer's own mark, and a line through some numbers.

SVG as text, made of numbers only, so there is nothing to escape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from markupsafe import Markup

SIDE = 5
MOST_POINTS = 300
"""Of a line: more are not seen in a picture of this size."""


@lru_cache(maxsize=20_000)
def mark(peer: str) -> Markup:
    """A symmetric pattern in a colour, both from the peer id: easier to tell apart than sixty letters."""
    digest = hashlib.sha256(peer.encode(errors="replace")).digest()
    half = (SIDE + 1) // 2
    squares = "".join(
        f"M{x} {y}h1v1h-1z"
        for y in range(SIDE)
        for column in range(half)
        if digest[2 + y * half + column] & 1
        for x in sorted({column, SIDE - 1 - column})
    )
    hue = (digest[0] << 8 | digest[1]) % 360
    return Markup(
        f'<svg class="mark" viewBox="-1 -1 7 7" width="28" height="28" aria-hidden="true">'
        f'<path fill="hsl({hue} 62% 52%)" d="{squares}"/></svg>'
    )


def line(values: Sequence[int | None], width: int = 120, height: int = 28) -> Markup:
    """A line through ``values``, scaled to fill its box; what is missing is passed over."""
    return _line(tuple(values[:: max(1, len(values) // MOST_POINTS)]), width, height)


@lru_cache(maxsize=256)
def _line(values: tuple[int | None, ...], width: int, height: int) -> Markup:
    known = [(at, value) for at, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return Markup("")
    low, high = min(value for _, value in known), max(value for _, value in known)
    span, steps = max(1, high - low), max(1, len(values) - 1)
    points = " ".join(
        f"{width * at / steps:.1f},{height - 2 - (height - 4) * (value - low) / span:.1f}" for at, value in known
    )
    return Markup(
        f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="{points}"/></svg>'
    )


@lru_cache(maxsize=1_100)
def bar(milli: int | None) -> Markup:
    """A bar for a fraction in thousandths."""
    width = 0 if milli is None else max(0, min(1000, milli))
    return Markup(
        '<svg class="bar" viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="1000" height="100"/><rect class="fill" width="{width}" height="100"/></svg>'
    )
