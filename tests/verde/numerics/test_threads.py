"""Ranges cover every row once, whatever the number of threads; errors come back."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from verde.numerics.threads import num_threads, run_rows, run_torch, torch_on_one_thread


@pytest.fixture(params=[1, 2, 3, 5])
def _threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("rows", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("cost", [1, 1 << 20])
def test_every_row_is_done_once(rows, cost):
    done = []
    run_rows(lambda start, stop: done.extend(range(start, stop)), rows, cost=cost)
    assert sorted(done) == list(range(rows))


def test_little_work_stays_in_the_calling_thread():
    seen = []
    run_rows(lambda *_: seen.append(threading.get_ident()), 10, cost=10)
    assert seen == [threading.get_ident()]


@pytest.mark.usefixtures("_threads")
def test_an_error_in_any_range_is_raised_after_all_have_ended():
    ended = []

    def kernel(start: int, stop: int) -> None:
        ended.append((start, stop))
        if stop == 40:
            raise ArithmeticError("the last range")

    with pytest.raises(ArithmeticError, match="the last range"):
        run_rows(kernel, 40, cost=1 << 20)
    assert max(stop for _, stop in ended) == 40
    assert len(ended) == torch.get_num_threads()


def test_several_threads_may_run_kernels_at_once():
    def work(_: int) -> int:
        done: list[int] = []
        run_rows(lambda start, stop: done.append(stop - start), 64, cost=1 << 16)
        return sum(done)

    with ThreadPoolExecutor(6) as executor:
        assert list(executor.map(work, range(60))) == [64] * 60


def test_a_thread_that_met_an_error_works_again_and_keeps_nothing():
    import gc
    import weakref

    class Data:
        pass

    def fails(start: int, stop: int, data: Data) -> None:
        if start:
            raise ArithmeticError("the second range")

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        data = Data()
        seen = weakref.ref(data)
        with pytest.raises(ArithmeticError):
            run_rows(fails, 2, data, cost=1 << 20)
        done = []
        run_rows(lambda start, stop: done.append((start, stop)), 2, cost=1 << 20)
        assert sorted(done) == [(0, 1), (1, 2)]
        del data
        gc.collect()
        assert seen() is None
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_torch_rests_in_a_block_and_gets_its_threads_back():
    given = torch.get_num_threads()

    def fails() -> None:
        with torch_on_one_thread():
            with torch_on_one_thread():
                assert (torch.get_num_threads(), num_threads()) == (1, given)
            assert (torch.get_num_threads(), num_threads()) == (1, given)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fails()
    assert (torch.get_num_threads(), num_threads()) == (given, given)


@pytest.mark.usefixtures("_threads")
def test_ranges_are_split_in_a_block_as_outside_and_torch_works_alone_in_each():
    seen = []
    run_torch(lambda start, stop: seen.append((start, stop, torch.get_num_threads())), 30, cost=1 << 20)
    parts = torch.get_num_threads()
    assert sorted(seen) == [(30 * part // parts, 30 * (part + 1) // parts, 1) for part in range(parts)]


@pytest.mark.usefixtures("_threads")
def test_of_blocks_that_overlap_none_leaves_torch_on_one_thread():
    given = torch.get_num_threads()
    both, first_left = threading.Barrier(2), threading.Event()

    def first() -> tuple[int, int]:
        with torch_on_one_thread():
            both.wait(10)
            count = num_threads()
        first_left.set()
        return count, torch.get_num_threads()

    def second() -> tuple[int, int]:
        with torch_on_one_thread():
            both.wait(10)
            first_left.wait(10)
            count = num_threads()
        return count, torch.get_num_threads()

    with ThreadPoolExecutor(2) as executor:
        found = [executor.submit(first), executor.submit(second)]
        assert [future.result() for future in found] == [(given, given)] * 2
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == given
