"""What a peer will take is known before it starts: larger for more, never past what is free, with a size that fits."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.policy.plan import (
    CACHE,
    FROZEN_HEAD_TOKENS,
    HEADS_APART,
    KEPT_ACTIVATIONS,
    LEAST_CACHE,
    LIBRARIES,
    LOGIT_BYTES,
    MB,
    ModelSize,
    Workload,
    adapters_of,
    demand,
    is_near,
    largest_fitting,
    num_trained,
    plan,
    tokens_per_pass,
)

TINY = ModelSize(3_000_000, 4, 192, 512, 2048)
GEMMA = ModelSize(268_000_000, 18, 640, 2048, 262_144, stored=536_000_000)
GIB = 1 << 30
sizes = st.builds(
    ModelSize,
    num_params=st.integers(1, 10**11),
    num_layers=st.integers(1, 100),
    hidden=st.integers(1, 20_000),
    feed_forward=st.integers(1, 80_000),
    vocabulary=st.integers(1, 300_000),
    stored=st.integers(0, 10**11),
    family=st.sampled_from(["", "gpt2", *sorted(HEADS_APART)]),
)
works = st.builds(
    Workload,
    engine=st.sampled_from(["exact", "native"]),
    lora_rank=st.none() | st.integers(0, 64),
    sequence=st.integers(1, 8192),
    completion=st.integers(1, 4096),
    prompts=st.integers(1, 512),
    on_gpu=st.booleans(),
    processes=st.integers(1, 8),
)


def test_the_parts_of_a_small_model_trained_whole_add_up():
    found = demand(TINY, Workload(engine="native", lora_rank=0, prompts=1))
    assert found.weights == 12_000_000
    assert found.training == 36_000_000
    assert (found.slices_drawing, found.slices_training, found.checking) == (0, 0, 0)
    worst = 48_000_000 + max(found.drawing, found.one_pass)
    assert found.peak == LIBRARIES + worst + worst * 10 // 100
    exact = demand(TINY, Workload(engine="exact", lora_rank=0, prompts=1))
    assert (exact.slices_training, exact.checking) == (12_000_000, 108_000_000)


def test_processes_of_a_step_take_libraries_weights_and_training_each_beside_the_peer():
    alone = demand(TINY, Workload(engine="trl", lora_rank=0))
    three = demand(TINY, Workload(engine="trl", lora_rank=0, processes=3))
    each = 12_000_000 + 36_000_000 + alone.one_pass
    assert (alone.workers, three.workers) == (0, 3 * (LIBRARIES + each + each // 10))
    assert (three.training, three.one_pass) == (60_000_000, 0), "the peer hands its step over"
    assert three.total == three.peak + three.workers
    fits = Workload(engine="trl", lora_rank=0, processes=3, cache=LEAST_CACHE)
    assert plan(TINY, fits, demand(TINY, fits).total).fits
    assert not plan(TINY, fits, demand(TINY, fits).total - 1).fits
    on_cards = demand(TINY, Workload(engine="trl", lora_rank=0, processes=3, on_gpu=True))
    assert on_cards.workers == on_cards.libraries + each + each // 10, "one shares the peer's card"


def test_a_model_of_270m_parameters_with_adapters_is_planned_below_three_and_a_half_gigabytes():
    assert adapters_of(GEMMA, None) == 8
    assert adapters_of(TINY, None) == 0
    assert num_trained(GEMMA, None) == 8 * 18 * (8 * 640 + 3 * (640 + 2048))
    assert 2500 * MB < demand(GEMMA, Workload(sequence=700)).peak < 3500 * MB


def test_long_prompts_cost_their_inputs_only_where_layers_are_computed_twice():
    short, long = (demand(GEMMA, Workload(sequence=tokens)).one_pass for tokens in (1024, 2048))
    assert long - short == 1024 * (4 * (24 * 640 + 8 * 2048) + 8 * 18 * 640)
    native = demand(GEMMA, Workload(engine="native", sequence=1024)).one_pass
    assert native > 1024 * 18 * 4 * (24 * 640 + 8 * 2048) > KEPT_ACTIVATIONS


def test_a_pass_holds_a_group_of_answers_unless_its_logits_are_large():
    assert tokens_per_pass(75_776, 512) == 2214, "the bundled model: by memory"
    assert tokens_per_pass(634_880, 512) == 512
    assert tokens_per_pass(3_919_872, 49_152) == 341
    assert tokens_per_pass(8_230_912, 151_936) == 128


def test_a_pass_of_a_model_with_a_frozen_head_holds_a_group_of_answers_for_any_vocabulary():
    assert tokens_per_pass(8_230_912, 151_936, is_head_frozen=True) == FROZEN_HEAD_TOKENS == 768
    assert tokens_per_pass(75_776, 512, is_head_frozen=True) == 2214, "the bundled model: by memory, as without"


def test_logits_of_a_long_pass_take_no_more_than_those_of_a_short_one_where_the_head_is_frozen():
    qwen = ModelSize(494_000_000, 24, 896, 4864, 151_936, family="qwen2")
    work = Workload(sequence=1024, completion=512)
    layer = 4 * (24 * 896 + 8 * 4864)
    assert demand(qwen, work).one_pass == 1024 * (layer + 8 * 24 * 896) + 160 * LOGIT_BYTES * 151_936
    unknown = msgspec.structs.replace(qwen, family="gpt2")
    assert demand(unknown, work).one_pass == 1024 * (layer + 8 * 24 * 896) + 512 * 16 * 151_936
    trained = msgspec.structs.replace(work, lora_rank=0)
    assert demand(qwen, trained).one_pass == demand(unknown, trained).one_pass


def test_too_little_memory_makes_batches_smaller_before_it_is_an_error():
    work = Workload()
    least = demand(GEMMA, msgspec.structs.replace(work, cache=LEAST_CACHE))
    native = msgspec.structs.replace(work, engine="native", prompts=1, sequence=8, completion=8, cache=4 * CACHE)
    roomy, tight = plan(TINY, native, 16 * GIB), plan(TINY, native, demand(TINY, native).peak - 1)
    assert (roomy.fits, roomy.cache, roomy.place) == (True, 4 * CACHE, "RAM")
    assert (tight.fits, tight.cache) == (True, 2 * CACHE)
    hopeless = plan(GEMMA, work, least.peak // 2)
    assert (hopeless.fits, hopeless.cache) == (False, LEAST_CACHE)


@given(size=sizes, work=works, free=st.integers(0, 1 << 42))
def test_a_plan_that_fits_is_within_what_is_free(size, work, free):
    found = plan(size, work, free)
    assert found.fits == (found.demand.total <= free)
    assert LEAST_CACHE <= found.cache <= CACHE
    assert found.place == ("VRAM" if work.on_gpu else "RAM")


@given(size=sizes, work=works, more=st.integers(1, 10**9))
def test_more_of_anything_never_takes_less(size, work, more):
    peak = demand(size, work).peak
    assert demand(msgspec.structs.replace(size, num_layers=size.num_layers + 1), work).peak >= peak
    assert demand(size, msgspec.structs.replace(work, sequence=work.sequence + more)).peak >= peak
    assert demand(size, msgspec.structs.replace(work, cache=work.cache + more)).peak >= peak


@given(free=st.integers(GIB, 64 * GIB))
def test_the_model_that_is_said_to_fit_does(free):
    work = Workload()
    largest = largest_fitting(GEMMA, work, free)
    assert largest == 0 or largest < free // 4
    if free > 4 * GIB:
        assert largest > 200_000_000


def test_nothing_fits_where_the_libraries_do_not():
    assert largest_fitting(GEMMA, Workload(), LIBRARIES // 2) == 0


@pytest.mark.parametrize(("measured", "near"), [(80, True), (100, True), (120, True), (79, False), (121, False)])
def test_near_is_within_a_fifth(measured, near):
    assert is_near(100, measured) is near
