"""The line's layout is the contracts': a number grows with pay, and says the same in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.credit_line import WIDTHS, CreditLine, micro_of, pack, unpack

lines = st.builds(CreditLine, **{name: st.integers(0, 2**width - 1) for name, width in WIDTHS.items()})


@given(lines)
def test_a_line_comes_back_as_it_was(line):
    assert unpack(pack(line)) == line
    assert micro_of(pack(line)) == line.micro


@given(lines, lines)
def test_more_pay_is_a_larger_number(one, other):
    if one.micro < other.micro:
        assert pack(one) < pack(other)


def test_the_layout_never_changes():
    line = CreditLine(
        micro=1, standing_milli=2, last_round=3, rounds=4, audits_passed=5, audits_failed=6, late_rounds=7
    )
    assert f"{pack(line):064x}" == "0000000000000001000200000000030000000004000000050000000600000007"
    assert sum(WIDTHS.values()) == 256


def test_counts_stay_at_their_largest_and_pay_must_fit():
    assert unpack(pack(CreditLine(micro=0, rounds=2**50))).rounds == 2**40 - 1
    for bad in (CreditLine(micro=2**64), CreditLine(micro=-1), CreditLine(micro=0, rounds=-1)):
        with pytest.raises(ValueError, match="does not fit"):
            pack(bad)
    for number in (-1, 2**256):
        with pytest.raises(ValueError, match="256 bits"):
            unpack(number)
