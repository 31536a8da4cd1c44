import contextlib
import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.keyfile import KeyType, create_key, load_key, open_key, parse_key
from protocol.errors import IdentityError

SECP_PEER = "16Uiu2HAmEWQnHq2jLKJypwVnVoQeFCULuyop6atvq2eWjYSUjzNi"
RSA_PEER = "QmY9fh3vwdNj8EcUtT4qg91sGkaebsnwT3AS32rv7bz5is"


def refusal(call, *args) -> str:
    with pytest.raises(IdentityError) as caught:
        call(*args)
    assert caught.value.exit_code == 3
    assert caught.value.next_step
    return str(caught.value)


def der(key, form=ser.PrivateFormat.TraditionalOpenSSL) -> bytes:
    return key.private_bytes(ser.Encoding.DER, form, ser.NoEncryption())


def key_message(kind: int, body: bytes) -> bytes:
    length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) & 0x7F | 0x80, len(body) >> 7])
    return bytes([0x08, kind, 0x12]) + length + body


def test_peer_ids_of_both_kinds_are_what_they_always_were(secp_key, rsa_key):
    assert (secp_key.kind, secp_key.peer) == (KeyType.SECP256K1, SECP_PEER)
    assert (rsa_key.kind, rsa_key.peer) == (KeyType.RSA, RSA_PEER)
    assert secp_key.public_key[:4] == bytes.fromhex("08021221")
    assert rsa_key.public_key[:5] == bytes.fromhex("080012a602")


def test_a_new_identity_is_36_private_bytes_and_loads_as_the_same_peer(tmp_path):
    path = tmp_path / "peer" / "swarm.pem"
    key = create_key(path)
    assert path.stat().st_size == 36
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(path).peer == open_key(path).peer == key.peer
    assert key.peer.startswith("16Uiu2HA")
    assert (tmp_path / "peer" / "peer_id").read_text().strip() == key.peer


def test_two_new_identities_differ(tmp_path):
    assert create_key(tmp_path / "a" / "swarm.pem").peer != create_key(tmp_path / "b" / "swarm.pem").peer


def test_an_identity_is_never_overwritten(tmp_path, secp_file):
    path = tmp_path / "swarm.pem"
    path.write_bytes(secp_file)
    path.chmod(0o600)
    assert "already is a file" in refusal(create_key, path)
    assert path.read_bytes() == secp_file


@pytest.mark.parametrize("trace", ["peer_id", "wallet.json"])
def test_a_second_identity_is_never_made_where_one_went_missing(tmp_path, trace):
    path = tmp_path / "swarm.pem"
    who = create_key(path).peer
    path.rename(tmp_path / "elsewhere")
    if trace == "wallet.json":
        (tmp_path / "peer_id").rename(tmp_path / "wallet.json")
    for call in (create_key, open_key):
        text = refusal(call, path)
        assert "is missing" in text
        assert trace in text
        assert "backup" in text
        assert (who in text) == (trace == "peer_id")
    assert not path.exists()


def test_a_folder_keeps_to_its_peer(tmp_path, secp_file):
    path = tmp_path / "swarm.pem"
    first = create_key(path).peer
    path.write_bytes(secp_file)
    text = refusal(open_key, path)
    assert first in text
    assert SECP_PEER in text
    (tmp_path / "peer_id").unlink()
    assert open_key(path).peer == SECP_PEER


def test_a_damaged_note_of_the_peer_is_told(tmp_path):
    create_key(tmp_path / "swarm.pem")
    (tmp_path / "peer_id").write_bytes(b"\xff not a peer")
    assert "does not hold a peer id" in refusal(open_key, tmp_path / "swarm.pem")


def test_a_dangling_link_is_not_taken_for_an_invitation(tmp_path):
    (tmp_path / "swarm.pem").symlink_to(tmp_path / "unmounted" / "swarm.pem")
    assert "cannot be read" in refusal(open_key, tmp_path / "swarm.pem")
    assert not (tmp_path / "unmounted").exists()


def test_hivemind_files_with_mode_0400_load(tmp_path, rsa_file):
    path = tmp_path / "swarm.pem"
    path.write_bytes(rsa_file)
    path.chmod(0o400)
    assert open_key(path).peer == RSA_PEER
    assert sorted(os.listdir(tmp_path)) == ["swarm.pem"]


def test_pem_text_is_named_as_what_it_is(rsa_key):
    key = ser.load_der_private_key(rsa_key.secret, None)
    pem = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    assert "PEM text" in refusal(parse_key, pem)
    assert "PEM text" in refusal(parse_key, b"\n" + pem)


def test_other_key_types_are_named():
    assert "type ED25519" in refusal(parse_key, key_message(1, bytes(64)))
    p256 = ec.generate_private_key(ec.SECP256R1())
    assert "type ECDSA" in refusal(parse_key, key_message(3, der(p256)))
    assert "type number 9" in refusal(parse_key, key_message(9, bytes(32)))


def test_rsa_keys_that_the_registry_cannot_check_are_refused(rsa_key):
    small = rsa.generate_private_key(65537, 1024)
    assert "1024 bits" in refusal(parse_key, key_message(0, der(small)))
    same_in_pkcs8 = der(ser.load_der_private_key(rsa_key.secret, None), ser.PrivateFormat.PKCS8)
    assert "PKCS#1" in refusal(parse_key, key_message(0, same_in_pkcs8))
    p256 = ec.generate_private_key(ec.SECP256R1())
    assert "another key" in refusal(parse_key, key_message(0, der(p256)))


def test_scalars_that_are_no_key_are_refused():
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    for body in (bytes(32), order.to_bytes(32, "big"), b"\xff" * 32, b"\x01" * 31, b"\x01" * 33, b""):
        refusal(parse_key, key_message(2, body))


def test_every_cut_of_a_file_is_refused(secp_file, rsa_file):
    for data in (secp_file, rsa_file):
        for length in range(0, len(data), 1 if len(data) < 100 else 29):
            refusal(parse_key, data[:length])


def test_doubled_unknown_and_trailing_fields_are_refused(secp_file):
    body = secp_file[2:]
    for data in (secp_file + b"\x00", secp_file + body, b"\x08\x02" + secp_file, b"\x18\x01" + secp_file, body):
        refusal(parse_key, data)
    assert parse_key(body + b"\x08\x02").peer == SECP_PEER  # fields may come in any order


@given(st.binary(max_size=200))
def test_any_other_bytes_are_an_error_in_words(data):
    with pytest.raises(IdentityError, match="identity file"):
        parse_key(data)


@settings(deadline=None, max_examples=20)  # OpenSSL takes its time over a damaged RSA key
@given(where=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_changed_byte_is_an_error_or_another_peer_and_never_anything_else(rsa_file, secp_file, where, flip):
    for data, peer in ((bytearray(rsa_file), RSA_PEER), (bytearray(secp_file), SECP_PEER)):
        data[where % len(data)] ^= flip
        with contextlib.suppress(IdentityError):
            assert parse_key(bytes(data)).peer != peer


def test_no_secret_is_shown(secp_key, rsa_key):
    for key in (secp_key, rsa_key):
        assert key.peer in repr(key)
        assert repr(key.secret) not in repr(key)
        assert key.secret.hex()[:16] not in repr(key)
