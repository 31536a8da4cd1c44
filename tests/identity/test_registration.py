"""Against a registry in a few lines; the real contract and the shipped fake are tested with ``chain``."""

import msgspec
import pytest

from chain.base import Enrol, PeerRecord, Receipt, Register
from chain.keys import recover_signer
from chain.typed_data import registration_digest
from identity.delegation import check_delegation
from identity.registration import register_and_enrol
from identity.signer import Signer
from protocol.errors import ChainError, ChainUnreachable, IdentityError

WALLET, ANOTHER = "0x1111111111111111111111111111111111111111", "0x2222222222222222222222222222222222222222"


class Registry:
    """Registers for one wallet, checking the proofs; ``before_send`` lets something happen in between."""

    def __init__(self, contracts, wallet):
        self.contracts, self.wallet = contracts, wallet
        self.records, self.sent, self.before_send = {}, [], lambda intent: None

    async def peer(self, peer):
        return self.records.get(peer)

    async def send(self, intent):
        self.before_send(intent)
        if isinstance(intent, Register):
            if intent.peer in self.records:
                raise ChainError("taken", reason="PeerOwnedByAnother")
            signer = intent.delegation.signer if intent.delegation else None
            digest = registration_digest(
                self.contracts, intent.peer, signer or self._account(intent), self.wallet, intent.nonce
            )
            signer = recover_signer(digest, intent.proof)
            if intent.delegation:
                check_delegation(intent.delegation, intent.peer, self.contracts)
                assert intent.delegation.signer == signer
                assert intent.delegation.wallet == self.wallet
            self.records[intent.peer] = PeerRecord(intent.peer, self.wallet, signer, False, 0)
        else:
            self.records[intent.peer] = msgspec.structs.replace(self.records[intent.peer], enrolled=True)
        self.sent.append(intent)
        return Receipt(f"0x{len(self.sent):064x}", 50_000, len(self.sent))

    @staticmethod
    def _account(intent):
        from chain.keys import signer_of_peer

        return signer_of_peer(intent.peer)


@pytest.fixture
def registry(domain):
    return Registry(domain, WALLET)


@pytest.mark.asyncio
async def test_a_new_peer_is_registered_with_proof_and_enrolled(registry, signer):
    outcome = await register_and_enrol(registry, signer)
    assert [type(intent) for intent in registry.sent] == [Register, Enrol]
    assert outcome.record == PeerRecord(signer.peer, WALLET, signer.address, True, 0)
    assert outcome.registered.gas == outcome.enrolled.gas == 50_000


@pytest.mark.asyncio
async def test_doing_it_again_sends_nothing(registry, signer):
    await register_and_enrol(registry, signer)
    again = await register_and_enrol(registry, signer)
    assert len(registry.sent) == 2
    assert again.registered.transaction == again.enrolled.transaction == ""
    assert again.record.enrolled


@pytest.mark.asyncio
async def test_a_start_that_was_cut_off_after_registering_goes_on_with_enrolling(registry, signer):
    await registry.send(signer.registration(registry.contracts))
    outcome = await register_and_enrol(registry, signer)
    assert [type(intent) for intent in registry.sent] == [Register, Enrol]
    assert outcome.registered.transaction == ""


@pytest.mark.asyncio
async def test_a_peer_owned_by_another_wallet_names_both_and_what_to_do(registry, signer):
    registry.records[signer.peer] = PeerRecord(signer.peer, ANOTHER, signer.address, True, 0)
    with pytest.raises(IdentityError) as caught:
        await register_and_enrol(registry, signer)
    assert ANOTHER in caught.value.what
    assert WALLET in caught.value.what
    assert "wallet.json" in caught.value.next_step
    assert registry.sent == []


@pytest.mark.asyncio
async def test_losing_the_race_against_oneself_is_no_error_and_against_another_wallet_is_one(registry, signer):
    def somebody_registers(owner):
        def happen(intent):
            if isinstance(intent, Register):
                registry.records[intent.peer] = PeerRecord(intent.peer, owner, signer.address, False, 0)

        return happen

    registry.before_send = somebody_registers(WALLET)
    assert (await register_and_enrol(registry, signer)).record.enrolled
    registry.records.clear()
    registry.before_send = somebody_registers(ANOTHER)
    with pytest.raises(IdentityError, match=ANOTHER):
        await register_and_enrol(registry, signer)


@pytest.mark.asyncio
async def test_wallets_are_compared_without_letter_case(registry, signer):
    registry.records[signer.peer] = PeerRecord(signer.peer, WALLET, signer.address.lower(), True, 0)
    assert (await register_and_enrol(registry, signer)).registered.transaction == ""


@pytest.mark.asyncio
async def test_another_signing_account_in_the_registry_is_told(registry, signer):
    registry.records[signer.peer] = PeerRecord(signer.peer, WALLET, ANOTHER, True, 0)
    with pytest.raises(IdentityError, match=ANOTHER):
        await register_and_enrol(registry, signer)


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [ChainUnreachable("away"), ChainError("no", reason="SignerTaken")])
async def test_other_failures_of_the_chain_come_through(registry, signer, error):
    def fail(intent):
        raise error

    registry.before_send = fail
    with pytest.raises(type(error)) as caught:
        await register_and_enrol(registry, signer)
    assert caught.value is error


def test_the_proof_names_the_wallet_that_owns_the_signer(secp_key, domain):
    ours, theirs = (Signer(secp_key, wallet).registration(domain) for wallet in (WALLET, ANOTHER))
    assert ours.proof != theirs.proof
    assert ours.nonce == 0
