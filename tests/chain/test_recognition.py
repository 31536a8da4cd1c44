"""What an intent is about, and which errors are the last word on it."""

import msgspec
import pytest

from chain.base import ZERO_ROOT, Advance, Claim, Enrol, Settle
from chain.recognition import is_final, key_of, label
from chain.refusals import WORDS
from protocol.errors import ChainError, ChainUnreachable
from protocol.messages import RoundResult


class Challenge(msgspec.Struct):
    epoch: int


class Stake(msgspec.Struct):
    peer: str
    number: int


@pytest.mark.parametrize(
    ("intent", "expected"),
    [
        (Settle(RoundResult(3, ZERO_ROOT, ZERO_ROOT, ZERO_ROOT, ZERO_ROOT, 5), (), "me"), "Settle/3"),
        (Advance(4), "Advance/4"),
        (Enrol("me"), "Enrol/0/me"),
        (Claim("me", 7, 1, ()), "Claim/0/me"),
        (Challenge(2), "Challenge/2"),
        (Stake("me", 1), "Stake/1/me"),
    ],
)
def test_an_intent_is_called_by_its_kind_number_and_peer(intent, expected):
    assert label(intent) == expected


def test_claims_of_any_amount_are_about_the_same_and_stakes_of_another_number_are_not():
    assert key_of(Claim("me", 7, 1, ())) == key_of(Claim("me", 9, 2, ("ab",)))
    assert key_of(Stake("me", 1)) != key_of(Stake("me", 2))


@pytest.mark.parametrize("reason", sorted(WORDS))
def test_a_contracts_own_word_is_final(reason):
    assert is_final(ChainError("no", reason=reason))


@pytest.mark.parametrize("reason", ["", "rpc 3", "rpc -32000", "NoGasMoney", "FeeTooHigh", "DiskFull", "Reverted"])
def test_everything_else_is_an_obstacle(reason):
    assert not is_final(ChainError("no", reason=reason))


def test_a_chain_that_is_away_has_said_nothing():
    assert not is_final(ChainUnreachable("away"))
