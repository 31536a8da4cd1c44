import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chain.keys import address_of_public_key
from identity.delegation import check_delegation, delegate, signing_secret
from identity.keyfile import parse_key
from identity.signer import Signer
from protocol.codec import decode, encode
from protocol.errors import BadRecord
from protocol.messages import Delegation

WALLET = "0x1111111111111111111111111111111111111111"


@pytest.fixture(scope="module")
def other_rsa_key():
    body = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    return parse_key(b"\x08\x00\x12" + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body)


def reason(delegation, peer, domain) -> str:
    with pytest.raises(BadRecord) as caught:
        check_delegation(delegation, peer, domain)
    return caught.value.reason


def test_the_derived_account_of_an_rsa_file_never_changes(rsa_key, domain):
    assert Signer(rsa_key, WALLET).address == "0xc7fc2C4C423989F8374AD01DfeFC5C67111a19Ec"
    assert delegate(rsa_key, domain, WALLET).signer == "0xc7fc2C4C423989F8374AD01DfeFC5C67111a19Ec"


def test_a_secp256k1_identity_signs_for_itself_without_a_delegation(secp_key, domain):
    assert signing_secret(secp_key) == b"\x01" * 32
    assert Signer(secp_key, WALLET).address == address_of_public_key(secp_key.public_key[4:])
    with pytest.raises(ValueError, match="no delegation to itself"):
        delegate(secp_key, domain, WALLET)


def test_a_delegation_verifies_anywhere_also_after_the_wire(rsa_key, domain):
    delegation = delegate(rsa_key, domain, WALLET, nonce=3)
    check_delegation(decode(encode(delegation), Delegation), rsa_key.peer, domain)
    assert (delegation.wallet, delegation.nonce) == (WALLET, 3)


def test_every_field_of_a_delegation_is_covered(rsa_key, other_rsa_key, domain):
    good = delegate(rsa_key, domain, WALLET)
    replace = msgspec.structs.replace
    assert reason(replace(good, signer="0x" + "99" * 20), rsa_key.peer, domain) == "wrong_signature"
    assert reason(replace(good, wallet="0x" + "99" * 20), rsa_key.peer, domain) == "wrong_signature"
    assert reason(replace(good, nonce=1), rsa_key.peer, domain) == "wrong_signature"
    assert reason(replace(good, signature=bytes(256)), rsa_key.peer, domain) == "wrong_signature"
    assert reason(replace(good, signature=b""), rsa_key.peer, domain) == "wrong_signature"
    assert reason(replace(good, public_key=other_rsa_key.public_key), rsa_key.peer, domain) == "wrong_owner"
    assert reason(good, other_rsa_key.peer, domain) == "wrong_owner"


def test_a_delegation_counts_on_one_chain_and_registry_only(rsa_key, domain):
    good = delegate(rsa_key, domain, WALLET)
    assert reason(good, rsa_key.peer, msgspec.structs.replace(domain, chain_id=1)) == "wrong_signature"
    elsewhere = msgspec.structs.replace(domain, registry="0x" + "88" * 20)
    assert reason(good, rsa_key.peer, elsewhere) == "wrong_signature"


def test_hostile_fields_are_malformed_and_never_an_exception_of_python(rsa_key, domain):
    good = delegate(rsa_key, domain, WALLET)
    replace = msgspec.structs.replace
    key = good.public_key
    for public_key in (b"", key[:-1], key + b"\0", b"\x08\x02" + key[2:], bytes(299), key[:40] + b"\0" + key[41:]):
        bad = replace(good, public_key=public_key)
        assert reason(bad, rsa_key.peer, domain) in ("malformed", "wrong_owner")
    assert reason(replace(good, nonce=-1), rsa_key.peer, domain) == "malformed"
    assert reason(replace(good, nonce=2**256), rsa_key.peer, domain) == "malformed"
    for address in ("", "0x", "0xzz", "é" * 42, "0x" + "zz" * 20):
        assert reason(replace(good, signer=address), rsa_key.peer, domain) in ("malformed", "wrong_signature")
        assert reason(replace(good, wallet=address), rsa_key.peer, domain) in ("malformed", "wrong_signature")
