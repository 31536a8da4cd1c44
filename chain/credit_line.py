"""Why this module exists: one 256-bit number says all that the chain may learn of a peer's work, and this is its form.

    micro 64 | standing_milli 16 | last_round 40 | rounds 40 | audits_passed 32 | audits_failed 32 | late_rounds 32

The highest bits are everything the peer was ever paid, so lines of one peer grow with its pay. A line is the value of
a leaf of the credits tree; what the contracts read from it is proved against a recorded root. Pure.
"""

from __future__ import annotations

import msgspec

WIDTHS = {
    "micro": 64,
    "standing_milli": 16,
    "last_round": 40,
    "rounds": 40,
    "audits_passed": 32,
    "audits_failed": 32,
    "late_rounds": 32,
}
MICRO_SHIFT = 256 - WIDTHS["micro"]


class CreditLine(msgspec.Struct, frozen=True):
    """What a line says of one peer, all cumulative over the run; ``standing_milli`` is 0 to 1000."""

    micro: int
    standing_milli: int = 500
    last_round: int = 0
    rounds: int = 0
    audits_passed: int = 0
    audits_failed: int = 0
    late_rounds: int = 0


def pack(line: CreditLine) -> int:
    """``line`` as a number of 256 bits. A count that outgrew its bits stays at their largest value; pay never may:
    ``ValueError`` for ``micro`` outside of 64 bits or anything negative."""
    packed = 0
    for name, width in WIDTHS.items():
        value = getattr(line, name)
        if value < 0 or (name == "micro" and value >= 1 << width):
            raise ValueError(f"{name} = {value} does not fit into a credit line.")
        packed = packed << width | min(value, (1 << width) - 1)
    return packed


def unpack(packed: int) -> CreditLine:
    """The line in ``packed``. Raises ``ValueError`` for a number outside of 256 bits."""
    if not 0 <= packed < 1 << 256:
        raise ValueError("A credit line has 256 bits.")
    values, rest = {}, packed
    for name, width in reversed(WIDTHS.items()):
        values[name] = rest & ((1 << width) - 1)
        rest >>= width
    return CreditLine(**values)


def micro_of(packed: int) -> int:
    """The pay that a line states, in millionths of a credit."""
    return packed >> MICRO_SHIFT
