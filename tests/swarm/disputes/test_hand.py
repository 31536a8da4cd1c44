"""Values of a trace are kept where there is room, and are the same from wherever they come."""

import numpy as np

from swarm.disputes.hand import Values
from tests.verde.program.small import PROGRAMS
from verde.program.trace import Trace, Tracing


def test_values_come_back_from_memory_from_the_file_and_not_at_all_where_nothing_has_room():
    values = [np.arange(number, dtype=np.float32).reshape(1, number) for number in (10, 20, 5)]
    store = Values(keep_bytes=60, spill_bytes=80)
    assert all(store.put(number, value) for number, value in enumerate(values))
    for number, value in enumerate(values):
        found = store.get(number)
        assert (found.dtype, found.shape, found.tobytes()) == (value.dtype, value.shape, value.tobytes())
    assert not store.put(3, values[1])


def test_a_trace_in_slices_is_the_trace_of_one_run_whatever_is_kept():
    program, sources = PROGRAMS["step"]()
    whole = Trace.of_run(program, sources)
    for keep_bytes, spill_bytes in ((1 << 20, 0), (1000, 1 << 20), (0, 0)):
        tracing, trace, slices = Tracing(program, sources, Values(keep_bytes, spill_bytes)), None, 0
        while trace is None:
            trace = tracing.go_on(lambda: True)
            slices += 1
        assert slices == len(program.nodes) + 1
        assert trace.root == whole.root
        last = len(program.nodes) - 1
        assert trace.value(last).tobytes() == whole.value(last).tobytes()
        assert trace.chunk(last // 2, 0) == whole.chunk(last // 2, 0)
