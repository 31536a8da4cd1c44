import pytest
from coincurve import PrivateKey
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from chain.keys import (
    address_of_public_key,
    compact_signature,
    peer_key,
    peer_of_rsa,
    peer_of_secp256k1,
    recover_signer,
    rsa_modulus,
    rsa_public_key,
    secp256k1_of_peer,
    sign_digest,
    signer_of_peer,
)
from protocol.errors import BadRecord
from tests.chain.players import Player, RsaPlayer, secret

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
secrets_ = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


@given(secrets_)
def test_a_secp256k1_peer_id_contains_its_key_and_account(key):
    public_key = PrivateKey(key).public_key.format()
    peer = peer_of_secp256k1(public_key)
    assert peer.startswith("16Uiu2HA")
    assert secp256k1_of_peer(peer) == public_key
    assert signer_of_peer(peer) == Account.from_key(key).address


def test_a_peer_id_of_a_known_key():
    """The libp2p specification's own test key of this type."""
    public_key = bytes.fromhex("037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99")
    assert peer_of_secp256k1(public_key) == "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY"


def test_an_rsa_peer_id_hides_its_key():
    player = RsaPlayer("rsa")
    assert signer_of_peer(player.peer) is None
    assert peer_of_rsa(player.public_key) == player.peer
    modulus = rsa_modulus(player.public_key)
    assert rsa_public_key(modulus) == player.public_key


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1],
        lambda key: key + b"\x00",
        lambda key: key[:-3] + b"\x01\x00\x03",
        lambda key: b"",
        lambda key: key[:38] + b"\x7f" + key[39:],
    ],
)
def test_other_rsa_keys_are_refused(spoil):
    with pytest.raises(BadRecord):
        rsa_modulus(spoil(RsaPlayer("rsa").public_key))


def test_bytes_that_are_no_point_have_no_account():
    peer = peer_of_secp256k1(b"\x02" + b"\xff" * 32)
    with pytest.raises(BadRecord):
        signer_of_peer(peer)


@given(secrets_, digests)
def test_signatures_recover_to_their_account(key, digest):
    signature = sign_digest(key, digest)
    assert recover_signer(digest, signature) == Account.from_key(key).address
    r, vs = compact_signature(signature)
    assert r == signature[:32]
    assert int.from_bytes(vs, "big") >> 255 == signature[64] - 27


def test_a_mirrored_signature_is_refused():
    digest = bytes(32)
    signature = sign_digest(secret("ada"), digest)
    mirrored = (
        signature[:32]
        + (ORDER - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
        + bytes([55 - signature[64]])
    )
    with pytest.raises(BadRecord) as caught:
        recover_signer(digest, mirrored)
    assert caught.value.reason == "wrong_signature"


@given(st.binary(max_size=130))
def test_random_bytes_are_no_signature_of_ada(data):
    try:
        recovered = recover_signer(b"\x01" * 32, data)
    except BadRecord as error:
        assert error.reason == "wrong_signature"
    else:
        assert recovered != Player("ada").signer


def test_a_peer_key_is_the_hash_of_the_multihash():
    player = Player("ada")
    assert len(peer_key(player.peer)) == 32
    assert peer_key(player.peer) != peer_key(Player("ben").peer)
    assert address_of_public_key(PrivateKey(player.secret).public_key.format(compressed=False)) == player.signer
