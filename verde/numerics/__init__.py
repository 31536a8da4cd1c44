"""Why this package exists: arithmetic whose result is the same on every machine (docs/exact-1.md).

``exact(model)`` is what others need: inside of it, torch computes in exact/1 or raises. The modules below it are the
operators themselves; the oracle and the vectors say what they must give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verde.numerics.mode import exact, is_exact

__all__ = ["exact", "is_exact"]


def __getattr__(name: str) -> Any:
    """Loaded on demand: the operators alone do without transformers' and the mode's hooks."""
    if name in __all__:
        from verde.numerics import mode

        return getattr(mode, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
