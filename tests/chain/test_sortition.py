"""Draws: a function of public things, fair in the mean, and growing until everybody is in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.base import Member
from chain.sortition import POSTER, QUORUM, doublings, is_drawn, poster_order, quorum, ticket
from protocol.ids import PeerId
from tests.chain.players import Player

PEERS = [Player(f"peer {number}") for number in range(24)]
SEED = "ab" * 32
seeds = st.binary(min_size=32, max_size=32).map(bytes.hex)


def members(*weights: int) -> list[Member]:
    return [
        Member(player.peer, player.signer, player.wallet, 1, weight)
        for player, weight in zip(PEERS, weights, strict=False)
    ]


def test_a_ticket_depends_on_seed_purpose_round_and_account() -> None:
    tickets = {
        ticket(seed, domain, round, player.signer)
        for seed in (SEED, "cd" * 32)
        for domain in (POSTER, QUORUM)
        for round in (1, 2)
        for player in PEERS[:2]
    }
    assert len(tickets) == 16


@given(seeds, st.lists(st.integers(1, 8), min_size=1, max_size=24))
def test_the_first_posters_are_those_whom_every_draw_admits_first(seed: str, weights: list[int]) -> None:
    known = members(*weights)
    order, total = poster_order(seed, 3, known), sum(weights)
    by_peer = {member.peer: member for member in known}
    assert sorted(order) == sorted(by_peer)
    assert poster_order(seed, 3, known[::-1]) == order

    def admitted(peer: PeerId, expected: int) -> bool:
        member = by_peer[peer]
        drawn = ticket(seed, POSTER, 3, member.signer)
        # the ticket alone, without the certainty that a heavy member has
        return drawn < ((2**256 - 1) // total) * member.weight * expected

    for expected in (1, 2, 4, 8):
        flags = [admitted(peer, expected) for peer in order]
        assert flags == sorted(flags, reverse=True)


@given(seeds, st.lists(st.integers(1, 8), min_size=2, max_size=24), st.integers(1, 64), st.integers(0, 6))
def test_a_quorum_is_drawn_or_everybody_and_grows_with_the_attempts(
    seed: str, weights: list[int], size: int, attempt: int
) -> None:
    known, total = members(*weights), sum(weights)
    found = quorum(seed, 1, known, quorum_size=size, attempt=attempt)
    expected = size << attempt
    assert found.asks_all == (expected >= total)
    if found.asks_all:
        assert found.needed == total // 2 + 1
        assert found.votes == {member.peer: member.weight for member in known}
    else:
        assert found.needed == (2 * expected + 2) // 3
        assert set(found.votes.values()) <= {1}
        later = quorum(seed, 1, known, quorum_size=size, attempt=attempt + 1)
        assert later.asks_all or set(found.votes) <= set(later.votes)


def test_as_many_are_drawn_on_average_as_expected() -> None:
    known = members(*[1] * 24)
    sizes = [len(quorum(f"{number:064x}", 1, known, quorum_size=6).votes) for number in range(400)]
    assert 5.5 < sum(sizes) / len(sizes) < 6.5


def test_each_member_counts_once_and_strangers_do_not() -> None:
    known = members(3, 1, 1)
    found = quorum(SEED, 1, known, quorum_size=48)
    assert found.is_met([known[0].peer])
    assert not found.is_met([known[1].peer] * 4)
    assert not found.is_met([known[1].peer, known[2].peer, PEERS[9].peer])


def test_whoever_weighs_enough_is_always_drawn() -> None:
    assert is_drawn(2**256 - 1, weight=5, total_weight=10, expected=2)
    assert not is_drawn(2**256 - 1, weight=4, total_weight=10, expected=2)


def test_draws_double_with_time_up_to_a_bound() -> None:
    assert [doublings(elapsed, 10) for elapsed in (-5, 0, 9, 10, 25, 10**9)] == [0, 0, 0, 1, 2, 32]


def test_a_round_without_members_has_no_quorum() -> None:
    with pytest.raises(ValueError, match="members"):
        quorum(SEED, 1, [], quorum_size=4)
