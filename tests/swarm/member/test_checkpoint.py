import pytest

from protocol.errors import ConfigError
from swarm.member.checkpoint import Checkpoints, Head
from swarm.policy.base import ChatMessage, TrainSample
from swarm.policy.fake import FakeEngine

SAMPLE = TrainSample((ChatMessage("user", "2 + 2"),), (52, 256), 1.0)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "state")


def trained(engine, seed):
    engine.step([SAMPLE], seed)
    return engine


def test_a_peer_that_never_trained_has_no_head(checkpoints):
    assert checkpoints.head() is None


def test_saving_does_not_move_the_head_and_including_does(checkpoints):
    engine = FakeEngine()
    genesis = checkpoints.save(engine)
    checkpoints.include(genesis, 0)
    after = checkpoints.save(trained(engine, 1))
    assert checkpoints.head() == Head(genesis, 0)
    checkpoints.include(after, 1)
    assert checkpoints.head() == Head(after, 1)
    assert after == engine.state_hash() != genesis


def test_a_step_that_was_not_included_is_undone(checkpoints):
    engine = FakeEngine()
    genesis = checkpoints.save(engine)
    checkpoints.include(genesis, 0)
    checkpoints.save(trained(engine, 1))
    checkpoints.restore(engine, genesis)
    assert engine.state_hash() == genesis


def test_only_the_head_and_the_one_before_are_kept(checkpoints, tmp_path):
    engine = FakeEngine()
    states = [checkpoints.save(engine)]
    checkpoints.include(states[0], 0)
    for number in (1, 2, 3):
        states.append(checkpoints.save(trained(engine, number)))
        checkpoints.include(states[-1], number)
    stray = checkpoints.save(trained(engine, 99))
    assert [checkpoints.has(state) for state in [*states, stray]] == [False, False, True, True, True]
    checkpoints.include(states[3], 3)
    assert not checkpoints.has(stray)


def test_a_state_that_a_struck_step_would_lead_back_to_is_kept(checkpoints):
    engine = FakeEngine()
    states = [checkpoints.save(engine)]
    checkpoints.include(states[0], 0)
    for number in (1, 2, 3):
        states.append(checkpoints.save(trained(engine, number)))
        checkpoints.include(states[-1], number, may_return_to=[states[1]])
    assert [checkpoints.has(state) for state in states] == [False, True, True, True]
    checkpoints.restore(engine, states[1])
    assert engine.state_hash() == states[1]


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"state": "ab"', b'{"state": 7, "round": 1}'])
def test_a_damaged_or_dangling_head_is_no_head(checkpoints, tmp_path, damage):
    state = checkpoints.save(FakeEngine())
    checkpoints.include(state, 0)
    (tmp_path / "state" / "head.json").write_bytes(damage)
    assert checkpoints.head() is None
    (tmp_path / "state" / "head.json").write_bytes(b'{"state": "%s", "round": 1}' % (b"cd" * 32))
    assert checkpoints.head() is None


def test_a_damaged_state_is_refused_in_words(checkpoints, tmp_path):
    engine = FakeEngine()
    state = checkpoints.save(engine)
    (tmp_path / "state" / state / "fake-state.json").write_bytes(b"{")
    with pytest.raises(ConfigError, match="cannot be used"):
        checkpoints.restore(engine, state)
