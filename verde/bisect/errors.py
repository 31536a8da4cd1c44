"""Why this module exists: a move that breaks a rule changes nothing, and says which rule it broke."""

from __future__ import annotations

from protocol.errors import VerificationError


class BadMove(VerificationError):
    """A move that the game does not take. The sender may send another one until his deadline."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"A dispute does not take this move: {why}.",
            "The game stands as before it; nothing is won or lost yet.",
            "Send a move that the game waits for, before the deadline.",
        )


class WrongTurn(BadMove):
    """The game waits for another kind of move, or for the other side."""


class TooLate(BadMove):
    """The deadline has passed: the game can only be closed."""


class TooEarly(BadMove):
    """The deadline has not passed: the game cannot be closed."""


class BadOpening(BadMove):
    """A piece is not part of what its root stands for, or not the piece that is needed."""


class NothingShown(BadOpening):
    """A result is shown that is what was claimed."""


class SearchBegun(WrongTurn):
    """What a trace ends in is compared before the search begins."""


class Unfit(BadMove):
    """A number or list has another size than the program says."""
