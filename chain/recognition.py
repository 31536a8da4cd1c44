"""Why this module exists: an intent is recognised when it comes again, and a refusal is told apart from an obstacle.

Pure. Knows intents by their fields only, so that a new kind of intent needs nothing here as long as it says what it is
about with ``result``, ``round``, ``epoch``, ``number`` or ``turn``, and with ``peer`` (and ``subject``) or ``game``.
"""

from __future__ import annotations

from typing import Any

from protocol.errors import ChainError, ChainUnreachable

Key = tuple[str, int, str]
"""What an intent is about: its kind, its round, epoch, number or turn (0 where it has none) and peer or game. A newer
one about the same replaces it."""

CUMULATIVE = frozenset({"Claim", "ClaimMany", "RecordReputation"})
"""Kinds of which the newest says everything: whatever epoch it names, it replaces the older ones of its peer."""

OBSTACLES = frozenset(
    {
        "NoGasMoney",
        "FeeTooHigh",
        "DiskFull",
        "Reverted",
        "BadAnswer",
        "WrongChain",
        "ForeignContract",
    }
)
"""Reasons that say something about this peer's money, disk or endpoint, and nothing about the intent."""


def key_of(intent: Any) -> Key:
    """What ``intent`` is about."""
    kind = type(intent).__name__
    peer = str(next((found for name in ("game", "request", "peer") if (found := getattr(intent, name, ""))), ""))
    if hasattr(intent, "subject"):
        peer = f"{peer}/{intent.subject}"
    if kind in CUMULATIVE:
        return (kind, 0, peer)
    about = getattr(intent, "result", intent)
    number = next((getattr(about, name) for name in ("number", "turn", "round", "epoch") if hasattr(about, name)), 0)
    return (kind, number, peer)


def label(intent: Any) -> str:
    """The key as one word for files and people: ``Settle/3``, ``Claim/0/16Uiu2…``."""
    kind, number, peer = key_of(intent)
    return "/".join([kind, str(number), *([peer] if peer else [])])


def is_final(error: ChainError) -> bool:
    """Whether a contract itself said no to the intent. Everything else is an obstacle, and the intent is kept."""
    return (
        bool(error.reason)
        and not isinstance(error, ChainUnreachable)
        and error.reason not in OBSTACLES
        and not error.reason.startswith("rpc ")
    )
