"""Nothing in a round is random, so every seed must be fixed by its parts, and by all of them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.seeds import derive_bytes, derive_order, derive_seed

parts = st.one_of(st.integers(-(2**63), 2**64 - 1), st.text(max_size=12), st.binary(max_size=12))
part_lists = st.lists(parts, max_size=5)


def test_a_seed_is_the_sha256_of_these_bytes():
    digest = hashlib.sha256(b"\x95\xafrl-swarm/seed/1\xa6sample\xa3run\x03\xc4\x01\x01").digest()
    assert derive_bytes("sample", "run", 3, b"\x01") == digest
    assert derive_seed("sample", "run", 3, b"\x01") == int.from_bytes(digest[:8], "big") // 2 == 8985827671339805096


@given(st.text(max_size=8), part_lists, st.text(max_size=8), part_lists)
def test_two_lists_of_parts_share_a_seed_only_when_they_are_equal(purpose, first, other_purpose, second):
    same = derive_bytes(purpose, *first) == derive_bytes(other_purpose, *second)
    assert same == ((purpose, first) == (other_purpose, second))


@pytest.mark.parametrize(
    ("first", "second"),
    [(("ab", "c"), ("a", "bc")), (("1",), (1,)), ((b"a",), ("a",)), (("a",), ("a", "")), ((1, 2), (12,)), ((), ("",))],
)
def test_parts_do_not_run_into_each_other(first, second):
    assert derive_bytes("p", *first) != derive_bytes("p", *second)


@given(part_lists)
def test_a_seed_fits_a_signed_64_bit_integer(some_parts):
    assert 0 <= derive_seed("p", *some_parts) < 2**63


@given(st.lists(st.text(max_size=6), unique=True, max_size=9), st.randoms(use_true_random=False), part_lists)
def test_an_order_depends_on_the_items_and_not_on_how_they_were_given(items, random, some_parts):
    shuffled = items.copy()
    random.shuffle(shuffled)
    ordered = derive_order("p", items, *some_parts)
    assert ordered == derive_order("p", shuffled, *some_parts)
    assert sorted(ordered) == sorted(items)


def test_another_seed_gives_another_order():
    peers = [f"peer{number}" for number in range(20)]
    assert derive_order("cohort", peers, "round 1") != derive_order("cohort", peers, "round 2")
    assert derive_order("cohort", peers, 1) != derive_order("poster", peers, 1)


def test_a_newcomer_does_not_change_the_order_of_the_others():
    peers = [f"peer{number}" for number in range(20)]
    with_newcomer = derive_order("cohort", [*peers, "newcomer"], 5)
    assert [peer for peer in with_newcomer if peer != "newcomer"] == derive_order("cohort", peers, 5)


def test_every_place_in_an_order_is_equally_likely():
    firsts = [derive_order("p", "abcd", number)[0] for number in range(2000)]
    for letter in "abcd":
        assert 430 < firsts.count(letter) < 570  # 500 expected; 3.6 standard deviations
