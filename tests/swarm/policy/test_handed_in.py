"""How a step's samples become the micro-batches of several processes: each counts once, and rows are as many."""

import math

from hypothesis import given
from hypothesis import strategies as st

from swarm.grpo.step import Sample
from swarm.policy.handed_in import ALONE, Share, _shared_out, _split


def samples(count):
    return [Sample((number,), (1,), 1.0) for number in range(count)]


@given(num_samples=st.integers(1, 40), num_processes=st.integers(1, 9), batch_size=st.integers(1, 9))
def test_each_sample_counts_once_and_all_processes_have_as_many_rows_in_each_pass(
    num_samples, num_processes, batch_size
):
    given_out = samples(num_samples)
    count = math.ceil(num_samples / (batch_size * num_processes))
    plans = [list(_split(_shared_out(given_out, Share(rank, num_processes)), count)) for rank in range(num_processes)]
    counted = [sample for plan in plans for part in plan for sample, counts in part if counts]
    assert sorted(sample.prompt for sample in counted) == [sample.prompt for sample in given_out]
    for passes in zip(*plans, strict=True):
        sizes = {len(part) for part in passes}
        assert len(sizes) == 1
        assert 1 <= sizes.pop() <= batch_size


def test_alone_a_process_takes_all_in_their_order_and_empty_passes_weigh_nothing():
    assert _shared_out(samples(3), ALONE) == [(sample, True) for sample in samples(3)]
    assert [[counts for _, counts in part] for part in _split(_shared_out(samples(1), ALONE), 2)] == [[False], [True]]
