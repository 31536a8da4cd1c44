"""A sealed file opens with its password only, and not at all when one bit of it is another."""

import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import sealed
from identity.sealed import CHUNK_BYTES, SALT_BYTES, SealedReader, SealedWriter, Stretching
from protocol.errors import IdentityError

QUICK = Stretching(n=2**10)


def seal(data: bytes, password: str = "right", stretching: Stretching = QUICK) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, password, salt=os.urandom(SALT_BYTES), stretching=stretching)
    writer.write(data)
    writer.close()
    return file.getvalue()


def opened(data: bytes, password: str = "right") -> bytes:
    reader = SealedReader(io.BytesIO(data), password, "a.backup")
    found = reader.read(10**9)
    reader.finish()
    return found


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3_000_000])
def test_what_was_sealed_comes_out_whatever_its_size(size):
    data = os.urandom(size)
    assert opened(seal(data)) == data


def test_nothing_of_the_content_or_the_password_can_be_read_in_the_file():
    raw = seal(b"secret-of-the-peer" * 1000, "my password")
    assert b"secret-of" not in raw
    assert b"my password" not in raw
    assert seal(b"x") != seal(b"x"), "the salt is fresh"


def test_a_wrong_password_is_told_apart_from_a_damaged_file():
    raw = seal(b"content")
    with pytest.raises(IdentityError, match="password does not open"):
        opened(raw, "wrong")
    with pytest.raises(IdentityError, match="damaged"):
        opened(raw[:-1])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_flipped_bit_goes_unnoticed(data):
    raw = bytearray(_RAW)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(IdentityError):
        opened(bytes(raw))


_RAW = seal(bytes(CHUNK_BYTES + 100))


@pytest.mark.parametrize("cut", [0, 10, 20, 100, 200, CHUNK_BYTES, len(_RAW) - 117, len(_RAW) - 116, len(_RAW) - 1])
def test_a_file_that_was_cut_off_is_told_also_at_the_border_of_a_chunk(cut):
    with pytest.raises(IdentityError):
        opened(_RAW[:cut])


def test_chunks_cannot_be_added_repeated_or_taken_from_another_file():
    for longer in (_RAW + b"x", _RAW + _RAW[-116:], _RAW[:-116] + seal(bytes(CHUNK_BYTES + 100))[-116:]):
        with pytest.raises(IdentityError, match="damaged"):
            opened(longer)


def test_a_later_version_a_foreign_file_and_a_greedy_header_are_refused_in_words():
    with pytest.raises(IdentityError, match="later version"):
        opened(_RAW[:15] + b"\x02" + _RAW[16:])
    with pytest.raises(IdentityError, match="no backup"):
        opened(b"PK\x03\x04" + bytes(100))
    greedy = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "_keys", lambda *_: (bytes(32), bytes(32)))
        SealedWriter(greedy, "right", salt=bytes(32), stretching=Stretching(n=2**24)).close()
    with pytest.raises(IdentityError, match="16384 MB"):
        opened(greedy.getvalue())


def test_an_empty_password_is_none():
    with pytest.raises(IdentityError, match="empty"):
        seal(b"x", "")
    with pytest.raises(IdentityError, match="empty"):
        opened(_RAW, "")
