import coincurve
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.keys import sign_digest
from chain.typed_data import record_digest
from identity.envelope import signer_of, verify
from identity.signer import Signer
from protocol.codec import RECORD_CAP, content_id, decode, encode
from protocol.errors import BadRecord
from protocol.messages import WIRE_VERSION, Envelope

RUN, OTHER_RUN = "aa" * 32, "bb" * 32
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
replace = msgspec.structs.replace


def sealed(signer, domain, payload=b"what I did") -> Envelope:
    return signer.seal(RUN, "answer", 3, payload, domain)


def reason(envelope, domain, **expected) -> str:
    with pytest.raises(BadRecord) as caught:
        verify(envelope, domain, **expected)
    return caught.value.reason


def test_a_sealed_record_verifies_after_the_wire(signer, domain):
    envelope = decode(encode(sealed(signer, domain)), Envelope)
    verify(envelope, domain, run=RUN, kind="answer", round=3, peer=signer.peer)
    verify(envelope, domain)
    assert signer_of(envelope, domain) == signer.address
    assert len(envelope.signature) == 65


def test_sealing_again_gives_the_same_bytes(signer, domain):
    assert encode(sealed(signer, domain)) == encode(sealed(signer, domain))


def test_a_record_of_either_kind_leaves_most_of_the_cap_to_its_payload(signer, domain):
    assert len(encode(sealed(signer, domain, b""))) < RECORD_CAP // 16


def test_a_record_found_in_another_place_is_refused_with_the_reason(signer, stranger, domain):
    envelope = sealed(signer, domain)
    here = {"run": RUN, "kind": "answer", "round": 3, "peer": signer.peer}
    assert reason(replace(envelope, version=WIRE_VERSION + 1), domain, **here) == "wrong_version"
    assert reason(envelope, domain, **here | {"run": OTHER_RUN}) == "wrong_run"
    assert reason(envelope, domain, **here | {"round": 4}) == "wrong_round"
    assert reason(envelope, domain, **here | {"peer": stranger.peer}) == "wrong_owner"
    assert reason(envelope, domain, **here | {"kind": "decide"}) == "malformed"


def test_everything_that_matters_is_signed(signer, domain):
    envelope = sealed(signer, domain)
    for change in ({"run": OTHER_RUN}, {"kind": "critique"}, {"round": 4}, {"payload": b"what I did not"}):
        assert reason(replace(envelope, **change), domain) == "wrong_signature"
    assert reason(envelope, replace(domain, chain_id=1)) == "wrong_signature"
    assert reason(envelope, replace(domain, registry=domain.token)) == "wrong_signature"


def test_nobody_signs_for_somebody_else(signer, stranger, domain):
    envelope = sealed(signer, domain)
    assert reason(replace(envelope, signature=sealed(stranger, domain).signature), domain) == "wrong_signature"
    stolen = replace(sealed(stranger, domain), peer=signer.peer)
    assert reason(stolen, domain) in ("wrong_signature", "unsigned")


def test_a_record_without_signature_is_unsigned(signer, domain):
    assert reason(replace(sealed(signer, domain), signature=b""), domain) == "unsigned"


def test_an_rsa_record_needs_its_delegation_and_a_secp256k1_record_none(rsa_key, secp_key, domain):
    rsa, secp = (Signer(key, "0x" + "11" * 20) for key in (rsa_key, secp_key))
    assert reason(replace(sealed(rsa, domain), delegation=None), domain) == "unsigned"
    assert reason(replace(sealed(secp, domain), delegation=rsa.delegation(domain)), domain) == "malformed"
    assert reason(replace(sealed(secp, domain), peer=rsa.peer, delegation=rsa.delegation(domain)), domain) == (
        "wrong_signature"
    )
    tampered = replace(rsa.delegation(domain), signer=secp.address)
    assert reason(replace(sealed(secp, domain), peer=rsa.peer, delegation=tampered), domain) == "wrong_signature"


def test_the_other_signature_of_the_same_digest_is_refused(signer, domain):
    envelope = sealed(signer, domain)
    r, s, v = envelope.signature[:32], int.from_bytes(envelope.signature[32:64], "big"), envelope.signature[64]
    mirrored = r + (ORDER - s).to_bytes(32, "big") + bytes([55 - v])
    assert reason(replace(envelope, signature=mirrored), domain) == "wrong_signature"


@pytest.mark.parametrize(
    "signature", [b"x", bytes(64), bytes(65), bytes(64) + b"\x1b", b"\xff" * 64 + b"\x1b", bytes(66)]
)
def test_bytes_that_are_no_signature_are_refused(signer, domain, signature):
    assert reason(replace(sealed(signer, domain), signature=signature), domain) == "wrong_signature"


@pytest.mark.parametrize("v", [0, 1, 26, 29, 255])
def test_other_recovery_bytes_are_refused(signer, domain, v):
    envelope = sealed(signer, domain)
    assert reason(replace(envelope, signature=envelope.signature[:64] + bytes([v])), domain) == "wrong_signature"


@pytest.mark.parametrize(
    "peer",
    ["", "x", "0OIl", "é", "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp", "16Uiu2HA" + "1" * 45, "1" * 99],
)
def test_peer_ids_that_cannot_sign_are_refused_in_one_word(signer, domain, peer):
    assert reason(replace(sealed(signer, domain), peer=peer), domain) in ("malformed", "unsigned", "wrong_owner")


@pytest.mark.parametrize("change", [{"run": "zz"}, {"run": ""}, {"run": "aa " * 32}, {"round": -1}, {"round": 2**64}])
def test_fields_that_cannot_be_hashed_are_malformed(signer, domain, change):
    assert reason(replace(sealed(signer, domain), **change), domain) == "malformed"


@settings(max_examples=60, deadline=None)
@given(
    payload=st.binary(max_size=300),
    number=st.integers(0, 2**64 - 1),
    kind=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    run=st.binary(min_size=32, max_size=32),
)
def test_any_payload_seals_and_verifies(stranger, domain, payload, number, kind, run):
    envelope = stranger.seal(run.hex(), kind, number, payload, domain)
    verify(envelope, domain, run=run.hex(), kind=kind, round=number, peer=stranger.peer)
    assert reason(replace(envelope, payload=payload + b"!"), domain) == "wrong_signature"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_hostile_bytes_are_a_bad_record_and_nothing_else(domain, data):
    with pytest.raises(BadRecord):
        verify(decode(data, Envelope), domain)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_no_byte_of_a_record_can_be_changed(signer, domain, where, flip):
    data = bytearray(encode(sealed(signer, domain)))
    data[where % len(data)] ^= flip
    with pytest.raises(BadRecord):
        verify(decode(bytes(data), Envelope), domain, run=RUN, kind="answer", round=3, peer=signer.peer)


def test_the_digest_signed_is_the_one_that_the_contract_computes(stranger, domain):
    digest = record_digest(domain, RUN, "answer", 3, content_id(b"what I did"))
    assert sealed(stranger, domain).signature == sign_digest(b"\x02" * 32, digest)
    recovered = coincurve.PublicKey.from_signature_and_message(
        sealed(stranger, domain).signature[:64] + bytes([sealed(stranger, domain).signature[64] - 27]),
        digest,
        hasher=None,
    )
    assert recovered == coincurve.PrivateKey(b"\x02" * 32).public_key
