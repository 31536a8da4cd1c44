import asyncio
import threading
import time

import pytest

from swarm.rounds.engine_room import EngineRoom


@pytest.mark.asyncio
async def test_calls_run_one_after_the_other_on_one_thread_beside_the_loop():
    room, order = EngineRoom(), []
    first_may_end = threading.Event()

    def first():
        first_may_end.wait(10)
        order.append(("first", threading.current_thread().name))

    def second(*, word):
        order.append((word, threading.current_thread().name))
        return word.upper()

    calls = [asyncio.ensure_future(room.call(first)), asyncio.ensure_future(room.call(second, word="second"))]
    await asyncio.sleep(0)
    assert order == []
    first_may_end.set()
    assert await asyncio.gather(*calls) == [None, "SECOND"]
    assert [word for word, _ in order] == ["first", "second"]
    assert len({thread for _, thread in order}) == 1
    assert threading.current_thread().name not in {thread for _, thread in order}
    room.close()


@pytest.mark.asyncio
async def test_what_a_call_raises_is_the_callers():
    room = EngineRoom()
    with pytest.raises(ZeroDivisionError):
        await room.call(lambda: 1 // 0)
    assert await room.call(lambda: 7) == 7
    room.close()


@pytest.mark.asyncio
async def test_closing_drops_what_waits_and_does_not_wait_for_what_runs():
    room, may_end, ran = EngineRoom(), threading.Event(), []
    running = asyncio.ensure_future(room.call(may_end.wait, 10))
    waiting = asyncio.ensure_future(room.call(ran.append, True))
    await asyncio.sleep(0)
    room.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_end.set()
    assert await running is True
    assert ran == []
    with pytest.raises(RuntimeError):
        await room.call(ran.append, True)


@pytest.mark.asyncio
async def test_a_long_call_leaves_no_freed_memory_behind_even_if_it_fails(monkeypatch):
    trims: list[str] = []
    monkeypatch.setattr("swarm.rounds.engine_room.trim", lambda: trims.append("trimmed"))
    monkeypatch.setattr("swarm.rounds.engine_room.LONG_S", 0.02)
    room = EngineRoom()
    await room.call(len, "short")
    assert trims == []
    await room.call(time.sleep, 0.05)
    assert trims == ["trimmed"]

    def fails() -> None:
        time.sleep(0.05)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        await room.call(fails)
    assert trims == ["trimmed"] * 2
    room.close()
