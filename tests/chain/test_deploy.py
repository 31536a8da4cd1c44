"""Set-up of a chain on a stub (addresses, files) and on anvil (idempotence, crashes in between)."""

import msgspec
import pytest

from chain.abi import deployment_data
from chain.deploy import NUM_TRANSACTIONS, SUPPLY_WEI, Deployment, created_address, deploy, planned, read_file
from chain.devchain import CHAIN_ID
from chain.nonces import WalletLog, read_entries
from chain.rpc import Rpc
from chain.sender import Sender
from protocol.errors import ChainError, ConfigError
from protocol.ids import Address
from tests.chain.players import Player


@pytest.mark.parametrize(
    ("nonce", "expected"),
    [
        (0, "0xcd234A471b72ba2F1Ccf0A70FCABA648a5eeCD8d"),
        (1, "0x343c43A37D37dfF08AE8C4A11544c718AbB4fCF8"),
        (2, "0xf778B86FA74E846c4f0a1fBd1335FE81c00a0C91"),
        (3, "0xffFd933A0bC612844eaF0C6Fe3E5b8E9B6C1d19c"),
    ],
)
def test_created_addresses_are_the_well_known_ones(nonce, expected):
    """The example account of the Ethereum documentation."""
    creator = Address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")
    assert created_address(creator, nonce) == expected


def test_created_addresses_differ_for_every_nonce():
    creator = Player("ada").wallet
    nonces = [0, 1, 127, 128, 255, 256, 65_535, 65_536]
    assert len({created_address(creator, nonce) for nonce in nonces}) == len(nonces)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"contracts": 7}', '{"unknown": 1}'])
def test_a_damaged_deployment_file_is_a_clear_error(tmp_path, text):
    file = tmp_path / "chain.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_file(file, Deployment)
    assert str(file) in caught.value.what


@pytest.mark.integration
@pytest.mark.asyncio
class TestOnAnvil:
    async def test_deploying_again_changes_nothing(self, dev_chain, tmp_path):
        file = tmp_path / "chain.json"
        log = tmp_path / "transactions.log"
        first = await deploy(dev_chain.url, dev_chain.account, file, wallet_log=WalletLog(log))
        assert len(first.transactions) == NUM_TRANSACTIONS
        assert first.gas > 1_000_000
        signed = read_entries(log)
        assert [entry.latest.transaction for entry in signed] == list(first.transactions)
        assert [(entry.purpose, entry.state) for entry in signed] == [("Deploy", "mined")] * NUM_TRANSACTIONS
        written = file.read_bytes()
        assert await deploy(dev_chain.url, dev_chain.account, file) == first
        assert file.read_bytes() == written

    async def test_a_founder_that_died_after_sending_finds_its_contracts(self, dev_chain, tmp_path):
        file = tmp_path / "chain.json"
        first = await deploy(dev_chain.url, dev_chain.account, file)
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(first, transactions=(), gas=0)))
        again = await deploy(dev_chain.url, dev_chain.account, file)
        assert msgspec.structs.replace(again, transactions=first.transactions, gas=first.gas) == first

    async def test_a_founder_that_died_between_transactions_sends_the_others(self, dev_chain, tmp_path):
        file = tmp_path / "chain.json"
        rpc = Rpc([dev_chain.url])
        sender = Sender(rpc, dev_chain.account, CHAIN_ID)
        unfinished = planned(CHAIN_ID, sender.address, await sender.nonce(), SUPPLY_WEI)
        await sender.send(None, deployment_data("SwarmBase", sender.address, SUPPLY_WEI))
        await rpc.close()
        file.write_bytes(msgspec.json.encode(unfinished))
        finished = await deploy(dev_chain.url, dev_chain.account, file)
        assert len(finished.transactions) == NUM_TRANSACTIONS - 1
        assert finished.factory == unfinished.factory

    async def test_another_chain_is_refused(self, dev_chain, tmp_path):
        file = tmp_path / "chain.json"
        first = await deploy(dev_chain.url, dev_chain.account, file)
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(first, chain_id=1)))
        with pytest.raises(ConfigError):
            await deploy(dev_chain.url, dev_chain.account, file)

    async def test_contracts_that_are_gone_are_not_replaced_silently(self, dev_chain, tmp_path):
        file = tmp_path / "chain.json"
        file.write_bytes(msgspec.json.encode(planned(CHAIN_ID, Player("nobody").wallet, 0, SUPPLY_WEI)))
        with pytest.raises(ChainError) as caught:
            await deploy(dev_chain.url, dev_chain.account, file)
        assert caught.value.reason == "ForeignContract"
