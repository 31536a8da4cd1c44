"""Endpoints that are gone, lying or somebody else's."""

import asyncio
import logging
import traceback

import pytest

from chain import endpoints as endpoints_module
from chain import rpc as rpc_module
from chain.base import Contracts
from chain.endpoints import FORGIVEN_AFTER_S
from chain.rpc import Ask, Rpc, RpcRefused
from chain.web3_chain import WIRED, Web3Chain
from protocol.errors import ChainError, ChainUnreachable
from protocol.ids import Address
from tests.chain.players import Player, secret
from tests.chain.stub_node import Refuses, StubNode

pytestmark = pytest.mark.asyncio

NOBODY = "http://127.0.0.1:1"
CONTRACTS = Contracts(31337, *[Address(Player(f"contract {number}").wallet) for number in range(11)])


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
    monkeypatch.setattr(endpoints_module, "RESPONSE_CAP", 100_000)
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


@pytest.mark.parametrize("answer", ["0x", "0x1234", "0x" + "ff" * 1000])
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


@pytest.mark.parametrize("answer", ["text", None, 7, "0x123", {}, []])
async def test_what_is_no_answer_to_the_question_counts_as_unreachable(answer):
    genuine = [getattr(CONTRACTS, known) for *_, known in WIRED]

    def call(call: dict, block: str) -> object:
        return "0x" + "00" * 12 + genuine.pop(0)[2:] if genuine else answer

    async with StubNode(eth_chainId=lambda: "0x7a69", eth_call=call) as node:
        chain = Web3Chain([node.url], CONTRACTS, secret("wallet"), num_attempts=1)
        with pytest.raises(ChainUnreachable, match="senseless answer to eth_call"):
            await chain.clock()
        await chain.close()


@pytest.mark.parametrize(
    ("method", "params", "lie", "truth"),
    [
        ("eth_getBalance", ["0x00", "latest"], "much", "0x5"),
        ("eth_getTransactionCount", ["0x00", "latest"], "0x", "0x5"),
        ("eth_getTransactionReceipt", ["0xab"], {"status": "0x1"}, None),
        (
            "eth_getTransactionReceipt",
            ["0xab"],
            {"transactionHash": "0xcd", "status": "0x1", "blockNumber": "0x1", "gasUsed": "0x1"},
            {"transactionHash": "0xab", "status": "0x1", "blockNumber": "0x1", "gasUsed": "0x1"},
        ),
        ("eth_sendRawTransaction", ["0x02"], "ok", "0x" + "ab" * 32),
        ("eth_getBlockByNumber", ["latest", False], "0x1", {"number": "0x1"}),
        ("eth_feeHistory", ["0x1", "latest", []], [], {"baseFeePerGas": ["0x1"]}),
    ],
)
async def test_an_endpoint_that_talks_nonsense_is_passed_over(method, params, lie, truth):
    async with StubNode(**{method: lambda *_: lie}) as liar, StubNode(**{method: lambda *_: truth}) as honest:
        rpc = Rpc([liar.url, honest.url], num_attempts=1)
        assert await rpc.request(method, *params) == truth
        assert liar.num_calls(method) == 1
        await rpc.close()


async def test_an_endpoint_of_another_chain_is_passed_over():
    async with StubNode(**numbers(chain=1)) as foreign, StubNode(**numbers()) as ours:
        rpc = Rpc([foreign.url, ours.url], check=require_chain_5)
        assert await rpc.request("eth_gasPrice") == "0x9"
        assert foreign.num_calls("eth_gasPrice") == 0
        await rpc.close()


async def test_an_endpoint_that_became_another_chain_is_noticed_after_it_was_away():
    async with StubNode(**numbers()) as first, StubNode(**numbers()) as second:
        rpc = Rpc([first.url, second.url], check=require_chain_5)
        assert await rpc.request("eth_gasPrice") == "0x9"
        first.status, first.raw = 502, b"bad gateway"
        assert await rpc.request("eth_gasPrice") == "0x9"
        first.status, first.raw = 200, None
        first.answers |= numbers(chain=1, price=7)
        second.status, second.raw = 502, b"bad gateway"
        with pytest.raises(ChainError) as caught:
            await rpc.request("eth_gasPrice")
        assert caught.value.reason == "WrongChain"
        await rpc.close()


async def test_an_endpoint_that_is_behind_decides_no_money():
    async with StubNode(**numbers(head=90, price=1)) as late, StubNode(**numbers(head=100)) as current:
        rpc = Rpc([late.url, current.url], num_attempts=1)
        assert await rpc.request("eth_gasPrice") == "0x9"
        assert rpc.behind(rpc.endpoints[0]) == 10
        await current.stop()
        with pytest.raises(ChainUnreachable, match="10 blocks behind"):
            await rpc.request("eth_gasPrice")
        assert await rpc.request("eth_chainId") == "0x5"  # which decides no money
        await rpc.close()


async def test_an_endpoint_that_caught_up_is_asked_again():
    clock = Clock()
    async with StubNode(**numbers(head=90, price=1)) as late, StubNode(**numbers(head=100)) as current:
        rpc = Rpc([late.url, current.url], num_attempts=1, clock=clock)
        assert await rpc.request("eth_gasPrice") == "0x9"
        await current.stop()
        late.answers |= numbers(head=99, price=1)
        clock.now += rpc_module.PROBE_EVERY_S + 1
        with pytest.raises(ChainUnreachable):
            await rpc.request("eth_gasPrice")  # begins to compare again, beside the request
        await asyncio.wait_for(asyncio.gather(*rpc._tasks), 5)
        assert await rpc.request("eth_gasPrice") == "0x1"
        await rpc.close()


async def test_one_liar_among_three_cannot_make_the_others_look_late():
    async with (
        StubNode(**numbers(head=10**9, price=1)) as liar,
        StubNode(**numbers(head=100)) as one,
        StubNode(**numbers(head=99)) as other,
    ):
        rpc = Rpc([liar.url, one.url, other.url], num_attempts=1)
        await rpc.request("eth_gasPrice")
        assert [rpc.behind(endpoint) for endpoint in rpc.endpoints[1:]] == [3, 4]
        await liar.stop()
        assert await rpc.request("eth_gasPrice") == "0x9"
        await rpc.close()


async def test_a_contract_must_refuse_at_a_second_endpoint_too():
    def refuse(call: dict) -> str:
        raise Refuses(3, "execution reverted", "0x12345678")

    async with StubNode(eth_estimateGas=refuse) as late, StubNode(eth_estimateGas=lambda call: "0x5") as current:
        rpc = Rpc([late.url, current.url])
        assert await rpc.request("eth_estimateGas", {}) == "0x5"
        current.answers["eth_estimateGas"] = refuse
        with pytest.raises(RpcRefused):
            await rpc.request("eth_estimateGas", {})
        await rpc.close()


@pytest.mark.parametrize(
    ("status", "headers", "error", "rest_s"),
    [
        (429, {}, None, 0.25),
        (429, {"Retry-After": "7"}, None, 7),
        (503, {"Retry-After": "40"}, None, 40),
        (429, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, None, 0),
        (429, {"Retry-After": "soon"}, None, 0.25),
        (429, {"Retry-After": "999999999"}, None, 600),
        (200, {}, Refuses(-32005, "slow down"), 0.25),
        (200, {}, Refuses(429, "no"), 0.25),
        (200, {}, Refuses(-32000, "Too Many Requests"), 0.25),
    ],
)
async def test_an_endpoint_that_wants_rest_gets_it(status, headers, error, rest_s):
    clock = Clock()

    def limit() -> str:
        if error:
            raise error
        return "0x1"

    async with StubNode(eth_gasPrice=limit) as limited, StubNode(eth_gasPrice=lambda: "0x9") as other:
        limited.status, limited.headers = status, headers
        rpc = Rpc([limited.url, other.url], num_attempts=1, clock=clock)
        rpc._probed_at = clock()
        assert await rpc.request("eth_gasPrice") == "0x9"
        assert limited.num_calls("eth_gasPrice") == 1
        assert rpc.endpoints[0].health.rests_s == pytest.approx(rest_s)
        await other.stop()
        if rest_s:
            with pytest.raises(ChainUnreachable):
                await rpc.request("eth_gasPrice")
            assert limited.num_calls("eth_gasPrice") == 1
        clock.now += rest_s
        limited.status, limited.headers, error = 200, {}, None
        assert await rpc.request("eth_gasPrice") == "0x1"
        await rpc.close()


async def test_the_only_endpoint_that_wants_a_long_rest_is_told_as_such():
    async with StubNode(eth_gasPrice=lambda: "0x1") as node:
        node.status, node.headers = 429, {"Retry-After": "60"}
        rpc = Rpc([node.url])
        for _ in range(3):
            with pytest.raises(ChainUnreachable, match="want rest, the first of them for 60 s"):
                await rpc.request("eth_gasPrice")
        assert node.num_calls("eth_gasPrice") == 1
        await rpc.close()


async def test_a_short_rest_is_waited_for():
    answers = iter([Refuses(-32005, "slow down"), None])

    def limit() -> str:
        if (refused := next(answers)) is not None:
            raise refused
        return "0x1"

    async with StubNode(eth_gasPrice=limit) as node:
        rpc = Rpc([node.url])
        assert await rpc.request("eth_gasPrice") == "0x1"
        await rpc.close()


async def test_a_transaction_is_given_to_every_endpoint():
    accepted = lambda raw: "0x" + "ab" * 32  # noqa: E731

    def swallow(raw: str) -> str:
        raise Refuses(-32000, "I do not like it")

    async with StubNode(eth_sendRawTransaction=swallow) as censor, StubNode(eth_sendRawTransaction=accepted) as honest:
        rpc = Rpc([censor.url, honest.url, NOBODY], num_attempts=1)
        assert await rpc.everywhere("eth_sendRawTransaction", "0x02") == "0x" + "ab" * 32
        assert honest.num_calls("eth_sendRawTransaction") == 1
        await honest.stop()
        with pytest.raises(RpcRefused):
            await rpc.everywhere("eth_sendRawTransaction", "0x02")
        await rpc.close()


async def test_the_healthier_endpoint_is_asked_first_and_failures_are_forgiven_in_time():
    clock = Clock()
    async with StubNode(eth_gasPrice=lambda: "0x1") as first, StubNode(eth_gasPrice=lambda: "0x2") as second:
        rpc = Rpc([first.url, second.url], num_attempts=1, clock=clock)
        rpc._probed_at = clock()
        first.status, first.raw = 500, b""
        assert [await rpc.request("eth_gasPrice") for _ in range(5)] == ["0x2"] * 5
        assert len(first.calls) == 1
        first.status, first.raw = 200, None
        clock.now += 10 * FORGIVEN_AFTER_S
        second.status, second.raw = 500, b""
        assert await rpc.request("eth_gasPrice") == "0x1"
        await rpc.close()


SECRETS = ["s3cr3tuser", "hunter22", "v3key0123456789", "tok3n"]
SECRET_PATH = "/v3/v3key0123456789?apikey=tok3n"


@pytest.mark.parametrize("kind", ["gone", "status", "redirect", "refusal", "nonsense", "invalid"])
async def test_secrets_of_a_url_are_in_no_error_and_no_log(kind, caplog):
    caplog.set_level(logging.DEBUG)

    def refuse() -> str:
        raise Refuses(-32000, f"unknown project v3key0123456789 for http://127.0.0.1{SECRET_PATH}")

    async with StubNode(eth_gasPrice=refuse) as node:
        address = {"gone": "127.0.0.1:1", "invalid": "127.0.0.1:99999"}.get(kind, node.url.removeprefix("http://"))
        if kind in ("status", "redirect", "nonsense"):
            node.status, node.raw = {"status": 500, "redirect": 302, "nonsense": 200}[kind], b"<html>"
            node.headers = {"Location": "http://elsewhere" + SECRET_PATH}
        rpc = Rpc([f"http://s3cr3tuser:hunter22@{address}{SECRET_PATH}"], num_attempts=1)
        with pytest.raises(ChainError) as caught:
            await rpc.request("eth_gasPrice")
        told = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(rpc.endpoints)
        assert [secret for secret in SECRETS if secret in told] == []
        await rpc.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def numbers(*, chain: int = 5, head: int = 100, price: int = 9) -> dict:
    return {"eth_chainId": lambda: hex(chain), "eth_blockNumber": lambda: hex(head), "eth_gasPrice": lambda: hex(price)}


async def require_chain_5(ask: Ask) -> None:
    if await ask("eth_chainId") != "0x5":
        raise ChainError("another chain", reason="WrongChain")
