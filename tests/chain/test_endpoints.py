"""Endpoints together: what most of them say, and what none of them may cause."""

import asyncio

import pytest

from chain.abi import function
from chain.base import Advance, Contracts
from chain.endpoints import redacted, shown
from chain.rpc import Rpc
from chain.web3_chain import WIRED, Web3Chain
from protocol.errors import ChainError, ChainUnreachable
from protocol.ids import Address
from tests.chain.players import Player, secret
from tests.chain.stub_node import StubNode
from tests.chain.stub_pool import Pool

CONTRACTS = Contracts(31337, *[Address(Player(f"contract {number}").wallet) for number in range(11)])


def block(name, **more):
    return {"eth_getBlockByNumber": lambda number, full: None if name is None else {"hash": name} | more}


async def most(*answers):
    nodes = [StubNode(**one) for one in answers]
    for node in nodes:
        await node.__aenter__()
    rpc = Rpc([node.url for node in nodes], num_attempts=1)
    try:
        found = await rpc.agreed("eth_getBlockByNumber", "0x5", False, by=lambda one: one["hash"])
        return found and found["hash"]
    finally:
        await rpc.close()
        for node in nodes:
            await node.stop()


@pytest.mark.asyncio
async def test_what_most_endpoints_say_holds():
    assert await most(block("a", size="0x1"), block("a", size="0x2")) == "a"
    assert await most(block("b"), block("a"), block("a")) == "a"
    assert await most(block(None), block("a")) == "a"  # one that does not have it yet says nothing
    assert await most(block(None), block(None)) is None
    assert await most(block("a"), {}) == "a"
    assert await most(block("a")) == "a"


@pytest.mark.asyncio
async def test_endpoints_that_disagree_decide_nothing():
    with pytest.raises(ChainUnreachable, match="disagree"):
        await most(block("a"), block("b"))


@pytest.mark.asyncio
@pytest.mark.parametrize("chain_id", ["0x1", "0x7a69"])
async def test_a_foreign_chain_or_contract_never_gets_a_signature(chain_id):
    """Neither kind of stranger is sent anything; the honest endpoint beside it gets the transaction."""
    pool = Pool()
    wired = {(getattr(CONTRACTS, part), function(*view).selector): known for part, *view, known in WIRED}

    def call(request, tag):
        known = wired.get((request["to"], bytes.fromhex(request["data"][2:10])))
        return "0x" + "00" * 12 + getattr(CONTRACTS, known)[2:] if known else "0x" + "00" * 32

    answers = pool.answers() | {"eth_blockNumber": lambda: hex(pool.block)}
    honest = StubNode(**answers | {"eth_chainId": lambda: "0x7a69", "eth_call": call})
    stranger = StubNode(**answers | {"eth_chainId": lambda: chain_id, "eth_call": lambda request, tag: "0x"})
    async with honest, stranger:
        alone = Web3Chain([stranger.url], CONTRACTS, secret("wallet"))
        with pytest.raises(ChainError) as caught:
            await alone.send(Advance(0))
        assert caught.value.reason == ("WrongChain" if chain_id == "0x1" else "ForeignContract")
        await alone.close()
        assert pool.raw == []
        chain = Web3Chain([stranger.url, honest.url], CONTRACTS, secret("wallet"))
        assert (await chain.send(Advance(0))).transaction in pool.mined
        await chain.close()
    assert stranger.num_calls("eth_sendRawTransaction") == 0
    assert honest.num_calls("eth_sendRawTransaction") == 1
    assert [fields["chainId"] for fields in pool.sent] == [31337]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://mainnet.example/v3/0123456789abcdef", "https://mainnet.example/…"),
        ("https://user:word@node.example:8545", "https://node.example:8545"),
        ("http://127.0.0.1:8545/", "http://127.0.0.1:8545"),
        ("http://[::1]:8545?key=abc", "http://[::1]:8545/…"),
        ("http://host:99999/key", "an unreadable URL"),
    ],
)
def test_people_see_the_host_of_a_url_and_nothing_else(url, expected):
    assert shown(url) == expected


def test_what_an_endpoint_says_is_cleaned_of_its_own_secrets():
    url = "https://bob:w0rd9@node.example/v3/0123456789abcdef?token=abcd"
    said = f"no project 0123456789abcdef (token abcd) of bob:w0rd9 at {url}, path /v3/0123456789abcdef"
    cleaned = redacted(said, url)
    assert [piece for piece in ("0123456789abcdef", "abcd", "w0rd9") if piece in cleaned] == []
    assert "node.example" in cleaned


@pytest.mark.asyncio
async def test_an_endpoint_that_hangs_costs_its_time_once():
    async def never() -> None:
        await asyncio.Event().wait()

    async with StubNode(eth_gasPrice=never) as hanging, StubNode(eth_gasPrice=lambda: "0x9") as other:
        rpc = Rpc([hanging.url, other.url], num_attempts=1, timeout_s=0.2)
        assert [await rpc.request("eth_gasPrice") for _ in range(5)] == ["0x9"] * 5
        assert hanging.num_calls("eth_gasPrice") == 1
        await rpc.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"\x00\xff\r\n\r\n"])
async def test_an_endpoint_that_drops_connections_is_passed_over(said):
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        writer.close()

    dropping = await asyncio.start_server(drop, "127.0.0.1", 0)
    port = dropping.sockets[0].getsockname()[1]
    async with StubNode(eth_gasPrice=lambda: "0x9") as other:
        rpc = Rpc([f"http://127.0.0.1:{port}", other.url], num_attempts=1)
        assert await rpc.request("eth_gasPrice") == "0x9"
        assert rpc.endpoints[0].health.failures > 0.9
        await rpc.close()
    dropping.close()
