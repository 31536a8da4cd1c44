"""Cohorts, letters and shown samples are functions of the seed and of who is there, not of the order of a list."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import Stage
from swarm.game.cohort import cohort_of, label_of, label_order, shown_sample, split_cohorts

SEED = "a" * 64
PEERS = [f"peer{number}" for number in range(20)]


@given(st.sets(st.text(min_size=1, max_size=6), max_size=40), st.integers(1, 9))
def test_cohorts_cover_everyone_once_and_are_even(members, size):
    cohorts = split_cohorts(SEED, sorted(members), size)
    assert sorted(peer for cohort in cohorts for peer in cohort) == sorted(members)
    sizes = [len(cohort) for cohort in cohorts]
    assert not sizes or (max(sizes) <= size and max(sizes) - min(sizes) <= 1)
    assert len(cohorts) == -(-len(members) // size)


def test_cohorts_depend_on_the_seed_and_not_on_the_order():
    assert split_cohorts(SEED, PEERS, 8) == split_cohorts(SEED, PEERS[::-1], 8)
    assert split_cohorts(SEED, PEERS, 8) != split_cohorts("b" * 64, PEERS, 8)


@given(st.sets(st.integers(0, 19)), st.integers(1, 9), st.integers(0, 20))
def test_newcomers_are_spread_evenly_and_no_cohort_is_made_of_them_alone(new, size, seed):
    newcomers = {f"peer{number}" for number in new}
    cohorts = split_cohorts(f"{seed:064}", PEERS, size, newcomers)
    shares = [len(newcomers & set(cohort)) for cohort in cohorts]
    assert max(shares) - min(shares) <= 1
    sizes = [len(cohort) for cohort in cohorts]
    assert max(sizes) - min(sizes) <= 1
    assert sorted(peer for cohort in cohorts for peer in cohort) == sorted(PEERS)


def test_newcomers_meet_different_people_from_round_to_round():
    new = set(PEERS[:5])
    mates = [set(cohort_of(f"{seed:064}", PEERS, 5, "peer0", new)) for seed in range(200)]
    met = Counter(peer for cohort in mates for peer in cohort)
    assert set(met) == set(PEERS)
    assert min(met.values()) > 10


def test_a_peer_finds_its_cohort_and_a_stranger_is_refused():
    assert "peer3" in cohort_of(SEED, PEERS, 8, "peer3")
    with pytest.raises(ValueError, match="not a member"):
        cohort_of(SEED, PEERS, 8, "stranger")


def test_letters_are_shared_and_change_from_question_to_question():
    orders = [label_order(SEED, PEERS[:3], question) for question in range(300)]
    assert label_order(SEED, PEERS[:3][::-1], 0) == orders[0]
    first = Counter(order[0] for order in orders)
    assert set(first) == set(PEERS[:3])
    assert min(first.values()) > 60
    assert [label_of(position) for position in (0, 1, 25)] == ["A", "B", "Z"]


def test_the_shown_sample_is_drawn_evenly_and_per_stage():
    drawn = Counter(shown_sample(SEED, Stage.ANSWER, "peer1", question, 4) for question in range(400))
    assert set(drawn) == {0, 1, 2, 3}
    assert min(drawn.values()) > 60
    answers = [shown_sample(SEED, Stage.ANSWER, "peer1", question, 4) for question in range(50)]
    assert answers != [shown_sample(SEED, Stage.CRITIQUE, "peer1", question, 4) for question in range(50)]
