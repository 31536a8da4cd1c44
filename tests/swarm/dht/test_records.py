"""The gate: bytes become a record only when everything about them is right."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import RECORD_CAP, encode
from protocol.errors import BadRecord
from protocol.messages import Envelope
from swarm.dht.records import Gate, claims_of, key_of, owner_of, slot_name, slot_of, subkey_of
from tests.swarm.dht.people import RUN, Person, check_signature, key

ANN, BOB = Person("ann"), Person("bob")
GATE = Gate(RUN, check_signature)


def opened(envelope: Envelope) -> Envelope:
    return GATE.open(slot_of(key_of(envelope)), subkey_of(envelope), encode(envelope))


def reason_of(slot: bytes, subkey: str, data: bytes) -> str:
    with pytest.raises(BadRecord) as caught:
        GATE.open(slot, subkey, data)
    return caught.value.reason


def test_a_signed_record_in_its_own_place_is_opened() -> None:
    envelope = ANN.says(b"two")
    assert opened(envelope) == envelope


def test_a_slot_is_the_sha1_of_run_kind_round_and_version() -> None:
    assert slot_of(key()) == hashlib.sha1(slot_name(key())).digest()
    assert len({slot_of(key()), slot_of(key(round=2)), slot_of(key(kind="critique"))}) == 3
    assert (
        slot_of(key()).hex() == "4519c3b3383e62f9f4da8b21ef7beebe28607b64"
    )  # golden: changing it cuts peers off from each other


def test_revisable_kinds_have_a_subkey_per_payload_and_one_owner() -> None:
    first, second = (ANN.says(payload, kind="attestation") for payload in (b"a", b"b"))
    assert subkey_of(first) != subkey_of(second)
    assert owner_of(subkey_of(first)) == owner_of(subkey_of(second)) == ANN.peer
    assert subkey_of(ANN.says(b"a")) == ANN.peer
    assert opened(second) == second


def test_a_record_above_the_cap_is_refused_before_it_is_parsed() -> None:
    assert reason_of(slot_of(key()), ANN.peer, b"\xff" * (RECORD_CAP + 1)) == "oversized"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\x91" * 3000, b'{"version": 1}', encode(("a", 1))])
def test_bytes_that_are_no_envelope_are_malformed(data: bytes) -> None:
    assert reason_of(slot_of(key()), ANN.peer, data) in {"malformed", "wrong_version"}


def test_a_truncated_record_is_refused() -> None:
    assert reason_of(slot_of(key()), ANN.peer, encode(ANN.says(b"two"))[:-1]) == "malformed"


def test_another_encoding_of_the_same_record_is_refused() -> None:
    data = encode(ANN.says(b"two"))
    longer = data.replace(b"\xa4kind", b"\xd9\x04kind", 1)  # the same string with a longer length prefix
    assert msgspec.msgpack.decode(longer) == msgspec.msgpack.decode(data)
    assert reason_of(slot_of(key()), ANN.peer, longer) == "malformed"


def test_another_wire_version_is_named_even_when_its_fields_differ() -> None:
    assert reason_of(slot_of(key()), ANN.peer, encode({"version": 9, "something": "new"})) == "wrong_version"


def test_a_record_without_signature_is_refused() -> None:
    unsigned = msgspec.structs.replace(ANN.says(b"two"), signature=b"")
    assert reason_of(slot_of(key()), ANN.peer, encode(unsigned)) == "unsigned"


def test_a_record_signed_by_another_key_is_refused() -> None:
    forged = BOB.signs(ANN.says(b"two"))
    assert reason_of(slot_of(key()), ANN.peer, encode(forged)) == "wrong_signature"


def test_nobody_writes_under_anothers_subkey() -> None:
    assert reason_of(slot_of(key()), ANN.peer, encode(BOB.says(b"two"))) == "wrong_owner"
    assert reason_of(slot_of(key()), "not a peer id", encode(BOB.says(b"two"))) == "malformed"


def test_an_older_rounds_record_is_refused_under_a_newer_key() -> None:
    old = ANN.says(b"two", round=1)
    assert opened(old) == old
    assert reason_of(slot_of(key(round=2)), ANN.peer, encode(old)) == "wrong_round"


def test_a_record_of_another_kind_or_run_is_refused() -> None:
    assert reason_of(slot_of(key("critique")), ANN.peer, encode(ANN.says(b"two"))) == "wrong_round"
    stranger = ANN.says(b"two", run=msgspec.convert("f" * 64, str))
    assert reason_of(slot_of(key()), ANN.peer, encode(stranger)) == "wrong_run"
    assert reason_of(slot_of(key("gossip")), ANN.peer, encode(ANN.says(b"two", kind="gossip"))) == "malformed"


def test_claims_are_read_from_any_version_and_from_junk() -> None:
    assert claims_of(encode({"version": 7, "kind": "answer", "round": 3})) == ("answer", 3)
    assert claims_of(b"\xc1") == ("", 0)
    assert claims_of(b"\x00" * (RECORD_CAP + 1)) == ("", 0)


@given(st.binary(max_size=300))
def test_the_gate_survives_any_bytes(data: bytes) -> None:
    with pytest.raises(BadRecord):
        GATE.open(slot_of(key()), ANN.peer, data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_no_flipped_byte_of_a_record_gets_through(at: int, flip: int) -> None:
    data = bytearray(encode(ANN.says(b"two")))
    data[at % len(data)] ^= flip or 1
    with pytest.raises(BadRecord):
        GATE.open(slot_of(key()), ANN.peer, bytes(data))
