import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import state_guard
from chain.state_guard import copies_of, copy_if_complete, is_complete, keep_copies, restore

STATE = b'{"block": {"number": "0x7"}, "accounts": {}, "best_block_number": 7}'


@given(st.integers(0, len(STATE) - 1))
def test_half_a_state_is_not_complete(tmp_path_factory, cut):
    file = tmp_path_factory.mktemp("state") / "chain-state.json"
    file.write_bytes(STATE[:cut])
    assert not is_complete(file)
    file.write_bytes(STATE)
    assert is_complete(file)


def test_the_newest_complete_copy_replaces_half_a_state(tmp_path):
    state = tmp_path / "chain-state.json"
    for number in (1, 2, 3):
        state.write_bytes(STATE.replace(b"7", str(number).encode()))
        assert copy_if_complete(state)
    state.write_bytes(STATE[:20])
    assert not copy_if_complete(state)
    assert restore(state)
    assert state.read_bytes() == STATE.replace(b"7", b"3")
    assert not restore(state)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_copy_is_passed_over(tmp_path):
    state = tmp_path / "chain-state.json"
    first, second = copies_of(state)
    first.write_bytes(STATE)
    second.write_bytes(STATE[:-1])
    assert restore(state)
    assert state.read_bytes() == STATE


def test_without_a_complete_state_nothing_is_touched(tmp_path):
    state = tmp_path / "chain-state.json"
    assert not restore(state)
    assert not copy_if_complete(state)
    state.write_bytes(STATE[:20])
    assert not restore(state)
    assert state.read_bytes() == STATE[:20]


@pytest.mark.asyncio
async def test_new_states_are_copied_while_the_chain_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(state_guard, "COPY_EVERY_S", 0.01)
    copied = asyncio.Event()

    def copy(state):
        done = copy_if_complete(state)
        loop.call_soon_threadsafe(copied.set)
        return done

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(state_guard, "copy_if_complete", copy)
    state = tmp_path / "chain-state.json"
    state.write_bytes(STATE)
    keeper = asyncio.create_task(keep_copies(state))
    await asyncio.wait_for(copied.wait(), 5)
    keeper.cancel()
    assert any(copy.exists() and copy.read_bytes() == STATE for copy in copies_of(state))
