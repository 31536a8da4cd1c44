"""Deployment on a stub chain (addresses, files) and on anvil (idempotence, crashes in between)."""

import msgspec
import pytest

from chain.deploy import Deployment, Parameters, contracts_of, created_address, deploy, read_deployment
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
    file = tmp_path / "deployment.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_deployment(file)
    assert str(file) in caught.value.what


@pytest.mark.integration
@pytest.mark.asyncio
class TestOnAnvil:
    parameters = Parameters(round_s=7)

    async def test_deploying_again_changes_nothing(self, dev_chain, tmp_path):
        file = tmp_path / "deployment.json"
        first = await deploy(dev_chain.url, dev_chain.account, file, self.parameters)
        assert first.transaction
        assert first.gas > 1_000_000
        written = file.read_bytes()
        assert await deploy(dev_chain.url, dev_chain.account, file, self.parameters) == first
        assert await deploy(dev_chain.url, dev_chain.account, file) == first
        assert file.read_bytes() == written

    async def test_a_host_that_died_after_sending_finds_its_contracts(self, dev_chain, tmp_path):
        file = tmp_path / "deployment.json"
        first = await deploy(dev_chain.url, dev_chain.account, file, self.parameters)
        unfinished = msgspec.structs.replace(first, transaction="", block=0, gas=0)
        file.write_bytes(msgspec.json.encode(unfinished))
        assert (await deploy(dev_chain.url, dev_chain.account, file)).contracts == first.contracts

    async def test_other_parameters_or_another_chain_are_refused(self, dev_chain, tmp_path):
        file = tmp_path / "deployment.json"
        first = await deploy(dev_chain.url, dev_chain.account, file, self.parameters)
        with pytest.raises(ConfigError):
            await deploy(dev_chain.url, dev_chain.account, file, Parameters(round_s=8))
        elsewhere = msgspec.structs.replace(first.contracts, chain_id=1)
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(first, contracts=elsewhere)))
        with pytest.raises(ConfigError):
            await deploy(dev_chain.url, dev_chain.account, file)

    async def test_contracts_that_are_gone_are_not_replaced_silently(self, dev_chain, tmp_path):
        file = tmp_path / "deployment.json"
        address = Player("nobody").wallet
        gone = Deployment(contracts_of(31337, address, 0), self.parameters, address, 0, "0x00")
        file.write_bytes(msgspec.json.encode(gone))
        with pytest.raises(ChainError) as caught:
            await deploy(dev_chain.url, dev_chain.account, file)
        assert caught.value.reason == "ForeignContract"
