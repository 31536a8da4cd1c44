"""Names are parsed once, at the edge: what is not a name never gets in."""

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadRecord
from protocol.ids import (
    STAGES,
    Stage,
    parse_address,
    parse_content_id,
    parse_peer_id,
    peer_id_bytes,
    peer_id_from_bytes,
)

RSA = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
SECP256K1 = "16Uiu2HAmPjJyHq8vhWqWvGPa5JDfDsSx8s5W1g4b6ZgFWFGD5rQe"


def multihash(raw: bytes) -> str:
    return base58.b58encode(raw).decode()


identities = st.binary(min_size=1, max_size=64).map(lambda body: bytes([0, len(body)]) + body)
hashes = st.binary(min_size=32, max_size=32).map(lambda body: b"\x12\x20" + body)


@given(st.one_of(identities, hashes))
def test_every_multihash_of_a_key_is_a_peer_id_and_comes_back(raw):
    peer = peer_id_from_bytes(raw)
    assert parse_peer_id(peer) == peer
    assert peer_id_bytes(peer) == raw


def test_a_libp2p_id_as_others_print_it_is_accepted():
    assert parse_peer_id(RSA) == RSA
    assert len(peer_id_bytes(parse_peer_id(RSA))) == 34


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qm",
        RSA[:-1],
        RSA + "1",
        "1" + RSA,
        RSA + "\n",
        " " + RSA,
        RSA.replace("Q", "0", 1),
        "ö" * 40,
        "1" * 128,
        "z" * 129,
        "../../etc/passwd",
        multihash(b"\x12\x20" + b"x" * 31),
        multihash(b"\x13\x20" + b"x" * 32),
        multihash(b"\x00\x05four"),
        multihash(b"\x00\x00"),
        multihash(b"\x00\x41" + b"x" * 65),
    ],
)
def test_what_is_not_a_peer_id_is_malformed(text):
    with pytest.raises(BadRecord) as caught:
        parse_peer_id(text)
    assert caught.value.reason == "malformed"


@given(st.text(max_size=80))
def test_any_text_is_a_peer_id_or_malformed(text):
    try:
        assert peer_id_from_bytes(peer_id_bytes(parse_peer_id(text))) == text
    except BadRecord as error:
        assert error.reason == "malformed"


def test_a_content_id_is_64_lower_case_hex_digits():
    assert parse_content_id("0af9" * 16) == "0af9" * 16
    for text in ("", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n", "٠" * 64):
        with pytest.raises(BadRecord):
            parse_content_id(text)


def test_an_address_has_a_prefix_and_40_hex_digits_in_either_case():
    assert parse_address("0x" + "aB" * 20) == "0x" + "aB" * 20
    for text in ("", "aB" * 20, "0x" + "a" * 39, "0x" + "a" * 41, "0X" + "a" * 40, "0x" + "a" * 40 + "\n"):
        with pytest.raises(BadRecord):
            parse_address(text)


def test_the_stages_are_played_in_this_order():
    assert STAGES == (Stage.ANSWER, Stage.CRITIQUE, Stage.DECIDE)
    assert [str(stage) for stage in STAGES] == ["answer", "critique", "decide"]
