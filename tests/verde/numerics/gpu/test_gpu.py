"""On a GPU: its products, every vector, the golden hashes, a step of the engine, and decoding."""

import numpy as np
import pytest
import torch

from tests.swarm.policy import test_exact_golden as engine_golden
from tests.verde.numerics.test_decoder import FAMILIES, flat, made, reference, sequences
from verde.numerics import elementwise, golden
from verde.numerics.conformance import conformance
from verde.numerics.decoder import decoder_of
from verde.numerics.portable import route as routes

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

EXPECTED = golden.expected()


@pytest.fixture
def device():
    return torch.device("cuda", torch.cuda.current_device())


@pytest.mark.parametrize("route", routes.ROUTES)
def test_a_route_is_exact(device, route):
    if route == "fused" and routes.kernels(device) is None:
        pytest.skip("Triton is not installed")
    assert routes.trouble_with(route, device) == ""


def test_every_vector_has_its_bits(device):
    assert [str(failure) for failure in conformance(device=device)] == []


def test_every_vector_has_its_bits_without_fused_kernels(device):
    with routes.without_kernels():
        assert [str(failure) for failure in conformance(device=device)] == []


@pytest.mark.parametrize("family", golden.FAMILIES)
@pytest.mark.parametrize("route", ["fused", "int8", "fp64"])
def test_training_has_the_golden_bits(family, route):
    with routes.use_route(route):
        assert golden.hashes(family, golden.EARLY_STEP, device="cuda")[-1] == EXPECTED[family]["early"]


@pytest.mark.parametrize("family", golden.FAMILIES)
def test_a_hundred_steps_end_in_the_promised_bits(family):
    assert golden.hashes(family, device="cuda")[-1] == EXPECTED[family]["final"]


def test_the_gpus_own_arithmetic_is_another_one():
    assert golden.native_hashes("llama", golden.EARLY_STEP, "cuda")[-1] != EXPECTED["llama"]["early"]


def test_a_training_step_of_the_bundled_model_has_its_golden_hashes():
    assert engine_golden.found("cuda") == engine_golden.GOLDEN["hashes"]


@pytest.mark.parametrize("family", FAMILIES)
def test_decoding_has_the_bits_of_the_unmodified_model(family):
    model = made(family).to("cuda")
    ids = sequences(model, 3, 12)
    wanted = reference(model, ids.cuda())
    decoder = decoder_of(model)
    cache = decoder.new_cache(ids.numel())
    for start, stop in [(0, 7), *((place, place + 1) for place in range(7, 12))]:
        found = decoder.logits(decoder.forward(flat(ids, start, stop, 5), cache))
        assert torch.equal(found.view(3, stop - start, -1), wanted[:, start:stop]), (start, stop)


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "silu", "gelu_tanh", "sqrt", "rsqrt", "sin"])
def test_an_operator_has_the_hosts_bits_on_a_million_numbers(name):
    words = np.random.default_rng(len(name)).integers(0, 2**32, 1 << 20, dtype=np.uint32)
    x = torch.from_numpy(words.view(np.float32).copy())
    x = torch.where(x.isfinite() & (x.abs() < 80) & (x.abs() > 2.0**-120), x, 1.0)
    x = x.abs() if name in ("log", "sqrt", "rsqrt") else x
    function = getattr(elementwise, name)
    assert torch.equal(function(x).view(torch.int32), function(x.cuda()).cpu().view(torch.int32))


def test_an_engine_on_the_gpu_finds_what_it_drew_right_and_what_was_changed_wrong():
    from swarm.policy.base import SampleRequest, Sampling
    from swarm.policy.exact import ExactEngine

    engine = ExactEngine.open(engine_golden.MODEL, engine_golden.RULES, device="auto", temperature=0.8)
    requests = [SampleRequest(engine_golden.PROMPTS[number % 3], number) for number in range(20)]
    for sampling in (Sampling(24, 0.8), Sampling(6, 0.8, 5), Sampling(6, 0.0)):
        drawn = engine.generate(requests, sampling)
        for _ in range(10):  # whatever two warps raced for would be right most of the time
            assert engine.first_differences(requests, sampling, drawn) == [None] * len(requests)
        host = ExactEngine.open(engine_golden.MODEL, engine_golden.RULES, temperature=0.8)
        assert [found.digest for found in host.redraw(requests, sampling, drawn)] == [one.digest for one in drawn]
        tokens = drawn[7].tokens
        wrong = type(drawn[7])((tokens[0] ^ 1, *tokens[1:]), drawn[7].text, drawn[7].ended)
        assert engine.first_differences(requests[7:8], sampling, [wrong]) == [0]
    replica = engine.replica(engine.parts())
    assert replica.state_hash() == engine.state_hash()


def test_the_doctor_shows_the_gpu():
    from swarm.app import doctor

    found = doctor.examine_gpu({"llama": EXPECTED["llama"]["final"]})
    assert found["ok"] is True
    assert any(torch.cuda.get_device_name() in line for line in doctor._gpu_in_words(found))
