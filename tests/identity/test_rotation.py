"""A peer may sign with another account that its identity key vouches for; whether that one counts, the chain says."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chain.keys import recover_signer
from chain.typed_data import registration_digest
from identity.delegation import check_delegation, delegate
from identity.envelope import verify
from identity.signer import Signer
from identity.signing_keys import load_signing_keys, make_signing_key
from protocol.codec import decode, encode
from protocol.errors import BadRecord, IdentityError
from protocol.ids import Address, ContentId
from protocol.messages import Delegation

WALLET = Address("0x7622AC0a38D4dde697E408cEB3b50a4C2209a9E4")
RUN = ContentId("ab" * 32)


@pytest.fixture(params=["secp_key", "rsa_key"])
def key(request):
    return request.getfixturevalue(request.param)


def rotated(key, folder) -> tuple[Signer, Address]:
    """A signer with one rotation, and the account that it names."""
    make_signing_key(folder, 1)
    signer = Signer(key, WALLET, rotated=lambda: load_signing_keys(folder))
    return signer, signer.accounts[-1]


def test_a_record_by_the_new_account_verifies_from_the_record_alone(key, tmp_path, domain):
    signer, account = rotated(key, tmp_path)
    former = signer.address
    assert verify(signer.seal(RUN, "answer", 3, b"x", domain), domain) == former
    signer.act_as(account)
    envelope = signer.seal(RUN, "answer", 3, b"x", domain)
    assert envelope.delegation is not None
    assert verify(envelope, domain, peer=key.peer) == account != former
    assert decode(encode(envelope.delegation), Delegation) == envelope.delegation


def test_no_field_of_a_rotated_accounts_delegation_can_be_changed(key, tmp_path, domain):
    signer, account = rotated(key, tmp_path)
    signer.act_as(account)
    delegation = signer.delegation(domain)
    assert delegation is not None
    check_delegation(delegation, key.peer, domain)
    for change in ({"signer": WALLET}, {"nonce": 7}, {"wallet": account}, {"signature": bytes(65)}):
        with pytest.raises(BadRecord):
            check_delegation(replace(delegation, **change), key.peer, domain)
    with pytest.raises(BadRecord):
        check_delegation(delegation, key.peer, replace(domain, chain_id=1))


def test_a_stranger_cannot_delegate_for_a_peer(secp_key, rsa_key, domain):
    for made_by, claimed in ((secp_key, rsa_key.peer), (rsa_key, secp_key.peer)):
        delegation = delegate(made_by, domain, WALLET, 1, signer=WALLET)
        with pytest.raises(BadRecord):
            check_delegation(delegation, claimed, domain)


def test_the_new_account_itself_agrees_to_the_rotation(key, tmp_path, domain):
    signer, account = rotated(key, tmp_path)
    rotation = signer.rotation(domain, load_signing_keys(tmp_path)[1], 1)
    digest = registration_digest(domain, key.peer, account, WALLET, 1)
    assert (rotation.signer, recover_signer(digest, rotation.proof)) == (account, account)


def test_registration_is_the_identitys_own_whatever_signs_now(key, tmp_path, domain):
    signer, account = rotated(key, tmp_path)
    before = signer.registration(domain)
    signer.act_as(account)
    assert signer.registration(domain) == before


def test_a_key_that_appears_while_the_peer_runs_is_found_and_a_missing_one_told(key, tmp_path):
    signer = Signer(key, WALLET, rotated=lambda: load_signing_keys(tmp_path))
    make_signing_key(tmp_path, 1)
    other = Signer(key, WALLET, rotated=lambda: load_signing_keys(tmp_path)).accounts[-1]
    signer.act_as(other)
    assert signer.address == other
    with pytest.raises(IdentityError, match="key of that account is not here"):
        signer.act_as(WALLET)
    assert signer.address == other


def test_a_signing_key_is_made_once_private_and_never_shown(tmp_path, secp_key):
    secret = make_signing_key(tmp_path, 1)
    assert make_signing_key(tmp_path, 1) == secret
    (path,) = tmp_path.glob("signing-*.key")
    assert path.stat().st_mode & 0o777 == 0o600
    signer = Signer(secp_key, WALLET, rotated=lambda: load_signing_keys(tmp_path))
    assert secret.hex() not in repr(signer) + str(vars(signer).keys())
    path.chmod(0o644)
    with pytest.raises(IdentityError, match="other users"):
        load_signing_keys(tmp_path)
    path.chmod(0o600)
    path.write_text("not a key")
    with pytest.raises(IdentityError, match="damaged"):
        load_signing_keys(tmp_path)
