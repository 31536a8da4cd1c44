"""One value, one byte string: what peers hash and sign must not depend on who encodes it."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec
from protocol.errors import BadRecord
from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.messages import (
    BatchHeader,
    BlobRef,
    Contribution,
    CreditRow,
    CreditTable,
    Envelope,
    Presence,
    Rollout,
    RolloutBatch,
    RolloutGroup,
)

naturals = st.integers(0, 2**63 - 1)
content_ids = st.binary(min_size=32, max_size=32).map(lambda raw: ContentId(raw.hex()))
peers = st.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", min_size=1, max_size=60).map(PeerId)
some_ids = st.lists(content_ids, max_size=4).map(tuple)
rollouts = st.builds(Rollout, st.text(max_size=20), st.lists(naturals, max_size=6).map(tuple), st.booleans())
groups = st.builds(RolloutGroup, naturals, content_ids, st.lists(rollouts, max_size=3).map(tuple))
messages = st.one_of(
    st.builds(Envelope, naturals, content_ids, st.text(max_size=9), naturals, peers, st.binary(), st.binary()),
    st.builds(Presence, st.lists(st.text(max_size=9), max_size=3).map(tuple), naturals, st.text(max_size=9), naturals),
    st.builds(BatchHeader, st.sampled_from(STAGES), st.builds(BlobRef, content_ids, naturals), some_ids),
    st.builds(
        RolloutBatch, content_ids, naturals, st.sampled_from(STAGES), peers, st.lists(groups, max_size=3).map(tuple)
    ),
    st.builds(
        CreditTable,
        content_ids,
        naturals,
        st.lists(st.builds(CreditRow, peers, naturals, naturals, content_ids), max_size=3).map(tuple),
    ),
)  # fmt: skip

ROW = CreditRow(PeerId("QmPeer"), 1_500_000, 3, ContentId("ab" * 32))
TABLE = CreditTable(ContentId("cd" * 32), 7, (ROW,))


@given(messages)
def test_what_was_encoded_is_decoded_to_the_same_value(message):
    assert codec.decode(codec.encode(message), type(message), cap=codec.BLOB_CAP) == message


@given(messages, st.data())
def test_a_changed_byte_is_refused_or_says_something_else(message, data):
    raw = bytearray(codec.encode(message))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    try:
        other = codec.decode(bytes(raw), type(message), cap=codec.BLOB_CAP)
    except BadRecord as error:
        assert error.reason == "malformed"
    else:
        assert other != message
        assert codec.encode(other) == raw


@given(st.binary(max_size=300), st.sampled_from([Envelope, Contribution, CreditTable, RolloutBatch]))
def test_random_bytes_raise_nothing_but_a_bad_record(raw, kind):
    with pytest.raises(BadRecord) as caught:
        codec.decode(raw, kind)
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("raw", [head + b"\xff\xff\xff\xff" for head in (b"\xdd", b"\xdf", b"\xc6")] + [b"\x91" * 9999])
def test_a_claimed_size_or_depth_that_is_not_there_costs_nothing(raw):
    for kind in (CreditTable, list, dict):
        with pytest.raises(BadRecord) as caught:
            codec.decode(raw, kind)
        assert caught.value.reason == "malformed"


def test_the_bytes_of_a_table_are_these_for_ever():
    raw = b"\x84\xa3run\xd9@" + b"cd" * 32 + b"\xa5round\x07\xa4rows\x91"
    raw += b"\x8b\xa4peer\xa6QmPeer\xadmicro_credits\xce\x00\x16\xe3\x60\xa6rounds\x03\xa5state\xd9@" + b"ab" * 32
    raw += b"\xa7pending\x90\xaestanding_milli\xcd\x01\xf4\xaalast_round\x00\xadaudits_passed\x00"
    raw += b"\xadaudits_failed\x00\xablate_rounds\x00\xb3audit_micro_credits\x00\xaadifficulty\xc0"
    assert codec.encode(TABLE) == raw
    assert codec.content_id_of(TABLE) == "5b81fc27c4cd219d812741a8dbdf67f196f569f1a6bae6f72d08a4de5006e4cf"


def test_the_content_id_of_bytes_is_their_sha256():
    assert codec.content_id(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert codec.content_id_of(TABLE) == hashlib.sha256(codec.encode(TABLE)).hexdigest()


def test_dictionaries_are_encoded_in_the_order_of_their_keys():
    assert codec.encode({"b": 1, "a": 2}) == codec.encode({"a": 2, "b": 1}) == b"\x82\xa1a\x02\xa1b\x01"


def test_more_bytes_than_the_cap_are_refused_before_they_are_read():
    ref = BlobRef(ContentId("0" * 64), 1)
    raw = codec.encode(ref)
    assert codec.decode(raw, BlobRef, cap=len(raw)) == ref
    for junk in (raw, b"\xc1" * len(raw)):
        with pytest.raises(BadRecord) as caught:
            codec.decode(junk, BlobRef, cap=len(raw) - 1)
        assert caught.value.reason == "oversized"


BODY = {"content": "0" * 64, "size": 1}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (msgspec.msgpack.encode({"size": 1, "content": "0" * 64}), "fields in another order"),
        (msgspec.msgpack.encode(BODY | {"more": 1}), "an unknown field"),
        (msgspec.msgpack.encode({"size": 1}), "a missing field"),
        (msgspec.msgpack.encode(BODY | {"size": "1"}), "text for a number"),
        (msgspec.msgpack.encode(BODY | {"size": 1.0}), "a fraction for a number"),
        (msgspec.msgpack.encode(BODY | {"size": True}), "yes for a number"),
        (msgspec.msgpack.encode(BODY | {"size": -1}), "a negative size"),
        (msgspec.msgpack.encode(BODY | {"size": 2**63}), "a size beyond 63 bits"),
        (msgspec.msgpack.encode(BODY | {"content": "../" * 21 + "x"}), "a path for a hash"),
        (msgspec.msgpack.encode(BODY | {"content": "0" * 64 + "\n"}), "a hash with a line break"),
        (msgspec.msgpack.encode(BODY | {"content": "A" * 64}), "a hash in capitals"),
        (msgspec.msgpack.encode(BODY)[:-1] + b"\xcc\x01", "a number in more bytes than it needs"),
        (msgspec.msgpack.encode(BODY)[:-1] + b"\x01\x01", "bytes after the end"),
        (msgspec.msgpack.encode(BODY)[:-1], "cut off"),
        (b"\xde\x00\x02" + msgspec.msgpack.encode(BODY)[1:], "a longer header"),
        (b"\x83" + msgspec.msgpack.encode(BODY)[1:] + msgspec.msgpack.encode("size") + b"\x01", "a field twice"),
    ],
)
def test_any_other_encoding_of_a_message_is_refused(raw, why):
    with pytest.raises(BadRecord) as caught:
        codec.decode(raw, BlobRef)
    assert caught.value.reason == "malformed", why


def test_a_field_left_out_because_it_has_a_default_is_another_encoding():
    envelope = Envelope(1, ContentId("0" * 64), "presence", 1, PeerId("QmA"), b"", b"")
    fields = msgspec.to_builtins(envelope, builtin_types=(bytes,))
    assert codec.decode(msgspec.msgpack.encode(fields), Envelope) == envelope
    del fields["delegation"]
    with pytest.raises(BadRecord):
        codec.decode(msgspec.msgpack.encode(fields), Envelope)


def test_an_unknown_stage_is_refused():
    header = BatchHeader(Stage.DECIDE, BlobRef(ContentId("0" * 64), 5), ())
    with pytest.raises(BadRecord):
        codec.decode(codec.encode(header).replace(b"\xa6decide", b"\xa6decade"), BatchHeader)
