"""Against the shipped fake chain, which checks proofs and refuses as the contracts do."""

import pytest

from chain.base import Enrol, PeerRecord, Register
from chain.fake import FakeChain, FakeWorld
from identity.keyfile import parse_key
from identity.registration import register_and_enrol
from identity.signer import Signer
from protocol.errors import ChainError, ChainUnreachable, IdentityError

WALLET, ANOTHER = "0x1111111111111111111111111111111111111111", "0x2222222222222222222222222222222222222222"


class Watched(FakeChain):
    """A wallet's chain that remembers what was sent; ``before_send`` lets something happen in between."""

    def __init__(self, world):
        super().__init__(world, WALLET)
        self.world, self.sent, self.before_send = world, [], lambda intent: None

    async def send(self, intent):
        self.before_send(intent)
        self.sent.append(type(intent))
        return await super().send(intent)


@pytest.fixture
def chain():
    return Watched(FakeWorld())


def registered_to(wallet, signer, chain):
    """``signer``'s key, registered by ``wallet``."""
    other = Signer(signer._key, wallet)
    chain.world.apply(wallet, other.registration(chain.contracts))


@pytest.mark.asyncio
async def test_a_new_peer_is_registered_with_proof_and_enrolled(chain, signer):
    outcome = await register_and_enrol(chain, signer)
    assert chain.sent == [Register, Enrol]
    assert outcome.record == PeerRecord(signer.peer, WALLET, signer.address, True, 0, 1)
    assert outcome.registered.transaction.startswith("0x")
    assert outcome.enrolled.transaction.startswith("0x")


@pytest.mark.asyncio
async def test_doing_it_again_sends_nothing(chain, signer):
    await register_and_enrol(chain, signer)
    again = await register_and_enrol(chain, signer)
    assert chain.sent == [Register, Enrol]
    assert again.registered.transaction == again.enrolled.transaction == ""
    assert again.record.enrolled


@pytest.mark.asyncio
async def test_a_start_that_was_cut_off_after_registering_goes_on_with_enrolling(chain, signer):
    registered_to(WALLET, signer, chain)
    outcome = await register_and_enrol(chain, signer)
    assert chain.sent == [Enrol]
    assert outcome.registered.transaction == ""


@pytest.mark.asyncio
async def test_a_peer_owned_by_another_wallet_names_both_and_what_to_do(chain, signer):
    registered_to(ANOTHER, signer, chain)
    with pytest.raises(IdentityError) as caught:
        await register_and_enrol(chain, signer)
    assert ANOTHER in caught.value.what
    assert WALLET in caught.value.what
    assert "wallet.json" in caught.value.next_step
    assert chain.sent == []


@pytest.mark.asyncio
@pytest.mark.parametrize("owner", [WALLET, ANOTHER])
async def test_losing_the_race_against_oneself_is_no_error_and_against_another_wallet_is_one(chain, signer, owner):
    def somebody_registers(intent):
        if isinstance(intent, Register):
            registered_to(owner, signer, chain)

    chain.before_send = somebody_registers
    if owner == WALLET:
        assert (await register_and_enrol(chain, signer)).record.enrolled
    else:
        with pytest.raises(IdentityError, match=ANOTHER):
            await register_and_enrol(chain, signer)


@pytest.mark.asyncio
async def test_wallets_are_compared_without_letter_case(chain, secp_key):
    signer = Signer(secp_key, "0x" + "ab" * 20)
    assert signer.wallet == "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"
    registered_to("0x" + "ab" * 20, signer, chain)
    with pytest.raises(ChainError, match="not registered to this wallet"):  # enrolling, with WALLET's account
        await register_and_enrol(chain, signer)


@pytest.mark.asyncio
async def test_another_signing_account_in_the_registry_is_told(chain, signer, monkeypatch):
    async def another(peer):
        return PeerRecord(peer, WALLET, ANOTHER, True, 0)

    monkeypatch.setattr(chain, "peer", another)
    with pytest.raises(IdentityError, match=ANOTHER):
        await register_and_enrol(chain, signer)


@pytest.mark.asyncio
async def test_other_failures_of_the_chain_come_through(chain, signer):
    refusal = ChainError("no", reason="SignerTaken")

    def fail(intent):
        raise refusal

    chain.before_send = fail
    with pytest.raises(ChainError) as caught:
        await register_and_enrol(chain, signer)
    assert caught.value is refusal
    chain.world.reachable = False
    with pytest.raises(ChainUnreachable):
        await register_and_enrol(chain, signer)


def test_a_registration_signed_for_one_wallet_is_worthless_to_another(chain, signer):
    with pytest.raises(ChainError) as caught:
        chain.world.apply(ANOTHER, signer.registration(chain.contracts))
    assert caught.value.reason == "ProofRejected"


def test_two_identities_do_not_share_an_account(secp_key, rsa_key):
    others = [parse_key(b"\x08\x02\x12\x20" + bytes([n]) * 32) for n in (2, 3)]
    assert len({Signer(key, WALLET).address for key in (secp_key, rsa_key, *others)}) == 4


def test_the_proof_names_the_wallet_that_owns_the_signer(secp_key, domain):
    ours, theirs = (Signer(secp_key, wallet).registration(domain) for wallet in (WALLET, ANOTHER))
    assert ours.proof != theirs.proof
    assert ours.nonce == 0
