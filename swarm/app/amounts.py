"""Why this module exists: people type and read tokens, the chain computes in whole units, and no digit may be lost.

A token is a credit: 1,000,000 micro, 10**18 wei. Pure.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from chain.base import WEI_PER_MICRO
from protocol.errors import ConfigError

MICRO_PER_TOKEN = 10**6
WEI_PER_TOKEN = 10**18
MAX_MICRO = 2**63 - 1

_PLAIN = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")


def tokens_micro(text: str, what: str = "the amount") -> int:
    """Millionths of a token in what a person typed, e.g. ``50`` or ``0.25``. ``what``: how to call it in the error.

    Raises ``ConfigError`` for anything but a plain positive number with at most six decimals.
    """
    if not _PLAIN.fullmatch(text.strip()):
        raise _wrong(text, f"{what} is not a plain number of tokens")
    amount = Decimal(text.strip())
    if amount <= 0:
        raise _wrong(text, f"{what} must be more than 0 tokens")
    micro = amount * MICRO_PER_TOKEN
    if micro != micro.to_integral_value():
        raise _wrong(text, f"{what} has more than six decimals, and a token has no smaller parts here")
    if micro > MAX_MICRO:
        raise _wrong(text, f"{what} is more than there can be")
    return int(micro)


def tokens_text(micro: int) -> str:
    """Millionths of a token as people read them: ``1500000`` is ``1.5``."""
    return _decimal(micro, 6)


def wei_text(wei: int) -> str:
    """Wei in whole coins or tokens, all digits that count: ``1500000000000000000`` is ``1.5``."""
    return _decimal(wei, 18)


def fee_text(wei: int) -> str:
    """A fee in the chain's coin, to three digits: nobody needs more to decide."""
    if wei == 0:
        return "0"
    digits = 18 - len(str(abs(wei))) + 3
    return f"{Decimal(wei).scaleb(-18):.{max(digits, 2)}f}".rstrip("0").rstrip(".")


def in_tokens(name: str, micro: int) -> dict[str, Any]:
    """``name`` in tokens, in micro and in wei, as ``--json`` tells amounts."""
    return {name: micro / MICRO_PER_TOKEN, f"{name}_micro": micro, f"{name}_wei": str(micro * WEI_PER_MICRO)}


def _decimal(units: int, digits: int) -> str:
    sign, (whole, rest) = "-" if units < 0 else "", divmod(abs(units), 10**digits)
    return f"{sign}{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


def _wrong(text: str, what: str) -> ConfigError:
    return ConfigError(
        f"{what[0].upper()}{what[1:]}: {text[:40]!r}.",
        "Nothing was signed or sent.",
        "Write it in tokens, e.g. 50 or 0.25.",
    )
