import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ConfigError
from swarm.app.amounts import MAX_MICRO, fee_text, in_tokens, tokens_micro, tokens_text, wei_text


@given(st.integers(1, MAX_MICRO))
def test_tokens_as_shown_can_be_typed(micro):
    assert tokens_micro(tokens_text(micro)) == micro


@pytest.mark.parametrize(
    ("text", "micro"),
    [("50", 50_000_000), ("0.25", 250_000), (" 7 ", 7_000_000), ("0.000001", 1), ("1.500000000", 1_500_000)],
)
def test_amounts_are_read_exactly(text, micro):
    assert tokens_micro(text) == micro


@pytest.mark.parametrize(
    "text", ["", "0", "0.0", "-1", "+1", "1e3", "1_000", "1,000", ".5", "5.", "inf", "٣", "0.0000001"]
)
def test_what_could_be_meant_otherwise_is_refused(text):
    with pytest.raises(ConfigError, match="Write it in tokens"):
        tokens_micro(text)


def test_more_than_there_can_be_is_refused():
    assert tokens_micro(tokens_text(MAX_MICRO)) == MAX_MICRO
    with pytest.raises(ConfigError, match="more than there can be"):
        tokens_micro(tokens_text(MAX_MICRO + 1))


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0"),
        (1, "0.000000000000000001"),
        (123_456_789_000_000, "0.000123"),
        (2 * 10**18, "2"),
        (123 * 10**17, "12.3"),
    ],
)
def test_fees_are_shown_to_the_digits_that_matter(wei, text):
    assert fee_text(wei) == text


def test_programs_get_every_unit():
    assert in_tokens("budget", 1_500_000) == {
        "budget": 1.5, "budget_micro": 1_500_000, "budget_wei": "1500000000000000000",
    }  # fmt: skip
    assert wei_text(10**18 + 1) == "1.000000000000000001"
