"""Against the shipped fake chain, which checks proofs and refuses as the contracts do."""

import pytest

from chain.base import Enrol, PeerRecord, Register, Stake
from chain.fake import FakeChain, FakeWorld
from chain.rules import Rules
from identity.keyfile import parse_key
from identity.registration import register_and_enrol
from identity.signer import Signer
from protocol.errors import ChainError, ChainUnreachable, IdentityError

STAKE = Rules().min_stake_micro
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
    outcome = await register_and_enrol(chain, signer, STAKE)
    assert chain.sent == [Register, Stake, Enrol]
    expected = PeerRecord(signer.peer, WALLET, signer.address, True, 0, 1, stake_micro=STAKE, weight=1)
    assert outcome.record == expected
    assert outcome.staked.transaction.startswith("0x")
    assert outcome.registered.transaction.startswith("0x")
    assert outcome.enrolled.transaction.startswith("0x")


@pytest.mark.asyncio
async def test_doing_it_again_sends_nothing(chain, signer):
    await register_and_enrol(chain, signer, STAKE)
    again = await register_and_enrol(chain, signer, STAKE)
    assert chain.sent == [Register, Stake, Enrol]
    assert again.registered.transaction == again.staked.transaction == again.enrolled.transaction == ""
    assert again.record.enrolled


@pytest.mark.asyncio
async def test_a_start_that_was_cut_off_after_registering_goes_on_with_enrolling(chain, signer):
    registered_to(WALLET, signer, chain)
    outcome = await register_and_enrol(chain, signer, STAKE)
    assert chain.sent == [Stake, Enrol]
    assert outcome.registered.transaction == ""


@pytest.mark.asyncio
async def test_a_start_that_was_cut_off_after_staking_stakes_no_second_time(chain, signer):
    registered_to(WALLET, signer, chain)
    chain.world.apply(WALLET, Stake(signer.peer, STAKE, 0))
    await register_and_enrol(chain, signer, STAKE)
    assert chain.sent == [Enrol]


@pytest.mark.asyncio
async def test_stake_that_was_lost_is_made_up_for_by_another_deposit(chain, signer):
    await register_and_enrol(chain, signer, STAKE)
    chain.world.vault.slash(signer.peer, STAKE // 2, ANOTHER)
    chain.world.ground.pay(WALLET, STAKE)
    again = await register_and_enrol(chain, signer, STAKE)
    assert again.staked.transaction
    assert (again.record.stake_micro, again.record.enrolled) == (STAKE, True)
    assert chain.sent == [Register, Stake, Enrol, Stake, Stake, Enrol], "the first deposit is known, and not repeated"


@pytest.mark.asyncio
async def test_a_run_without_stake_asks_for_none(chain, signer):
    chain.world.rules = Rules(min_stake_micro=0)
    assert (await register_and_enrol(chain, signer)).record.enrolled
    assert chain.sent == [Register, Enrol]


@pytest.mark.asyncio
async def test_a_peer_owned_by_another_wallet_names_both_and_what_to_do(chain, signer):
    registered_to(ANOTHER, signer, chain)
    with pytest.raises(IdentityError) as caught:
        await register_and_enrol(chain, signer, STAKE)
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
        assert (await register_and_enrol(chain, signer, STAKE)).record.enrolled
    else:
        with pytest.raises(IdentityError, match=ANOTHER):
            await register_and_enrol(chain, signer, STAKE)


@pytest.mark.asyncio
async def test_wallets_are_compared_without_letter_case(chain, secp_key):
    signer = Signer(secp_key, "0x" + "ab" * 20)
    assert signer.wallet == "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"
    registered_to("0x" + "ab" * 20, signer, chain)
    with pytest.raises(ChainError, match="not registered to this wallet"):  # staking, with WALLET's account
        await register_and_enrol(chain, signer, STAKE)


@pytest.mark.asyncio
async def test_another_signing_account_in_the_registry_is_told(chain, signer, monkeypatch):
    async def another(peer):
        return PeerRecord(peer, WALLET, ANOTHER, True, 0)

    monkeypatch.setattr(chain, "peer", another)
    with pytest.raises(IdentityError, match=ANOTHER):
        await register_and_enrol(chain, signer, STAKE)


@pytest.mark.asyncio
async def test_other_failures_of_the_chain_come_through(chain, signer):
    refusal = ChainError("no", reason="SignerTaken")

    def fail(intent):
        raise refusal

    chain.before_send = fail
    with pytest.raises(ChainError) as caught:
        await register_and_enrol(chain, signer, STAKE)
    assert caught.value is refusal
    chain.world.reachable = False
    with pytest.raises(ChainUnreachable):
        await register_and_enrol(chain, signer, STAKE)


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
