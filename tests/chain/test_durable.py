"""Files of checked lines, cut and damaged anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.durable import DurableLines, pack, unpack
from protocol.errors import SwarmError

BODIES = [b'{"a":1}', b"[]", b'"' + "ü".encode() * 40 + b'"']


@pytest.fixture
def lines(tmp_path):
    return DurableLines(tmp_path / "lines")


def test_what_was_appended_is_read_in_order(lines):
    assert lines.read() == []
    size = lines.append(BODIES[:2])
    assert lines.append(BODIES[2:], sync=False) == lines.path.stat().st_size > size
    assert lines.read() == BODIES


def test_cut_anywhere_the_whole_lines_are_read(lines):
    lines.append(BODIES)
    raw = lines.path.read_bytes()
    ends = [len(b"".join(pack(body) for body in BODIES[:count])) - 1 for count in range(1, len(BODIES) + 1)]
    for length in range(len(raw) + 1):
        lines.path.write_bytes(raw[:length])
        assert lines.read() == BODIES[: sum(end <= length for end in ends)]


def test_every_flipped_bit_before_the_last_line_is_noticed(lines):
    raw = b"".join(pack(body) for body in BODIES)
    lines.path.write_bytes(raw)
    for place in range(len(pack(BODIES[0]) + pack(BODIES[1])) - 1):
        lines.path.write_bytes(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :])
        with pytest.raises(SwarmError, match=r"damaged in line [12]"):
            lines.read()


def test_replacing_is_one_step_and_nothing_when_it_is_so_already(lines):
    lines.append(BODIES)
    before = lines.path.stat().st_ino
    lines.replace(BODIES)
    assert lines.path.stat().st_ino == before
    lines.replace(BODIES[:1])
    assert lines.read() == BODIES[:1]
    assert [path.name for path in lines.path.parent.iterdir()] == ["lines"]


@given(st.binary(max_size=200))
def test_rubbish_is_no_line(rubbish):
    body = unpack(rubbish)
    assert body is None or pack(body) == rubbish + b"\n"
