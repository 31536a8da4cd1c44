"""Why this module exists: rules of a run are hashed as whole numbers, so that every peer reads the same ones."""

from __future__ import annotations

from decimal import Decimal

from protocol.errors import ConfigError


def scaled(name: str, value: float, digits: int) -> int:
    """``value`` times 10**digits, exactly as its decimal reads. Raises ``ConfigError`` when digits would be lost."""
    exact = Decimal(repr(value)).scaleb(digits)
    if exact != exact.to_integral_value():
        raise ConfigError(
            f"{name} = {value} has more than {digits} decimals.",
            "Rules of a run are hashed as whole numbers, so every peer must read the same one.",
            f"Round it to {digits} decimals.",
        )
    return int(exact)
