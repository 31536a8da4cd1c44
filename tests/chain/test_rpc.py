"""Endpoints that are gone, lying or somebody else's."""

import asyncio

import pytest

from chain import rpc as rpc_module
from chain.base import Contracts
from chain.rpc import Rpc, RpcRefused
from chain.web3_chain import WIRED, Web3Chain
from protocol.errors import ChainError, ChainUnreachable
from protocol.ids import Address
from tests.chain.players import Player, secret
from tests.chain.stub_node import Refuses, StubNode

pytestmark = pytest.mark.asyncio

NOBODY = "http://127.0.0.1:1"
CONTRACTS = Contracts(31337, *[Address(Player(f"contract {number}").wallet) for number in range(9)])


async def test_a_result_is_passed_on_and_a_refusal_is_typed():
    async with StubNode(eth_chainId=lambda: "0x7a69") as node:
        rpc = Rpc([node.url])
        assert await rpc.request("eth_chainId") == "0x7a69"
        with pytest.raises(RpcRefused) as caught:
            await rpc.request("eth_unheardOf")
        assert caught.value.code == -32601
        assert node.num_calls("eth_unheardOf") == 1
        await rpc.close()


async def test_the_next_endpoint_is_asked_when_one_is_gone():
    async with StubNode(eth_chainId=lambda: "0x1") as node:
        rpc = Rpc([NOBODY, node.url], num_attempts=1)
        assert await rpc.request("eth_chainId") == "0x1"
        await rpc.close()


async def test_no_endpoint_is_its_own_error():
    rpc = Rpc([NOBODY], num_attempts=2)
    with pytest.raises(ChainUnreachable) as caught:
        await rpc.request("eth_chainId")
    assert caught.value.exit_code == 4
    assert "127.0.0.1:1" in caught.value.what
    await rpc.close()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'"text"', b"\xff\xfe", b"[" * 100_000])
async def test_what_is_not_json_rpc_counts_as_unreachable(body):
    async with StubNode() as node:
        node.raw = body
        rpc = Rpc([node.url], num_attempts=1)
        with pytest.raises(ChainUnreachable):
            await rpc.request("eth_chainId")
        await rpc.close()


async def test_an_endless_answer_is_cut_off(monkeypatch):
    monkeypatch.setattr(rpc_module, "RESPONSE_CAP", 100_000)
    async with StubNode() as node:
        node.raw = b'{"jsonrpc": "2.0", "id": 0, "result": "' + b"0" * 200_000 + b'"}'
        rpc = Rpc([node.url], num_attempts=1)
        with pytest.raises(ChainUnreachable):
            await rpc.request("eth_chainId")
        await rpc.close()


async def test_a_silent_endpoint_times_out():
    async def never() -> None:
        await asyncio.Event().wait()

    async with StubNode(eth_chainId=never) as node:
        rpc = Rpc([node.url], num_attempts=1, timeout_s=0.1)
        with pytest.raises(ChainUnreachable):
            await rpc.request("eth_chainId")
        await rpc.close()


async def test_a_failing_endpoint_is_asked_again():
    answers = iter([False, False, True])

    def sometimes() -> str:
        if not next(answers):
            raise Refuses(-32602, "BlockOutOfRangeError: block height is 185 but requested was 184")
        return "0x1"

    async with StubNode(eth_blockNumber=sometimes) as node:
        rpc = Rpc([node.url])
        assert await rpc.request("eth_blockNumber") == "0x1"
        await rpc.close()


async def test_a_node_that_is_down_behind_its_gate_is_unreachable():
    def down() -> None:
        raise Refuses(rpc_module.NODE_DOWN, "the chain node does not answer")

    async with StubNode(eth_blockNumber=down) as node:
        rpc = Rpc([node.url], num_attempts=1)
        with pytest.raises(ChainUnreachable):
            await rpc.request("eth_blockNumber")
        await rpc.close()


async def test_another_chain_is_refused_by_name():
    async with StubNode(eth_chainId=lambda: "0x1") as node:
        chain = Web3Chain([node.url], CONTRACTS, secret("wallet"))
        with pytest.raises(ChainError) as caught:
            await chain.connect()
        assert caught.value.reason == "WrongChain"
        assert caught.value.exit_code == 5
        await chain.close()


@pytest.mark.parametrize("answer", ["0x", "0x" + "00" * 32, "0x" + "11" * 32])
async def test_foreign_contracts_are_refused_by_name(answer):
    async with StubNode(eth_chainId=lambda: "0x7a69", eth_call=lambda call, block: answer) as node:
        chain = Web3Chain([node.url], CONTRACTS, secret("wallet"))
        with pytest.raises(ChainError) as caught:
            await chain.clock()
        assert caught.value.reason == "ForeignContract"
        await chain.close()


@pytest.mark.parametrize("answer", ["0x", "0x1234", "text", None, 7, "0x" + "ff" * 1000])
async def test_a_view_that_returns_nonsense_is_a_foreign_contract(answer):
    answers = [getattr(CONTRACTS, known) for *_, known in WIRED]

    def call(call: dict, block: str) -> object:
        return "0x" + "00" * 12 + answers.pop(0)[2:] if answers else answer

    async with StubNode(eth_chainId=lambda: "0x7a69", eth_call=call) as node:
        chain = Web3Chain([node.url], CONTRACTS, secret("wallet"))
        with pytest.raises(ChainError) as caught:
            await chain.clock()
        assert caught.value.reason == "ForeignContract"
        await chain.close()
