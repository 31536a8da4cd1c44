"""What the gate passes on, and what it does with clients that mean harm."""

import asyncio
import json

import aiohttp
import pytest
import pytest_asyncio

from chain.abi import function
from chain.gate import (
    ALLOWED_METHODS,
    FAUCET_REFUSED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LIMIT_EXCEEDED,
    PARSE_ERROR,
    Faucet,
    Gate,
    GateLimits,
    Tokens,
)
from chain.rpc import NODE_DOWN
from chain.sender import METHOD_NOT_FOUND, Mined
from protocol.errors import ConfigError
from tests.chain.players import Player
from tests.chain.stub_node import Refuses, StubNode

pytestmark = pytest.mark.asyncio

ADA, BEN, CYD, DAN = (Player(name) for name in ("ada", "ben", "cyd", "dan"))


class Purse:
    """Stands in for the sender: remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.data: list[str] = []

    async def send(self, to: str, data: str = "0x", value_wei: int = 0) -> Mined:
        await asyncio.sleep(0)
        self.sent.append((to, value_wei))
        self.data.append(data)
        return Mined("0x" + "ab" * 32, 21_000, 1, True)


class Door:
    """A gate in front of a stub node, and a client."""

    def __init__(self, node: StubNode, gate: Gate, url: str, session: aiohttp.ClientSession, purse: Purse) -> None:
        self.node, self.gate, self.url, self.session, self.purse = node, gate, url, session, purse

    async def post(self, body: bytes, content_type: str = "application/json") -> tuple[int, object]:
        async with self.session.post(self.url, data=body, headers={"Content-Type": content_type}) as response:
            return response.status, json.loads(await response.read())

    async def call(self, method: str, *params: object) -> dict:
        _, answer = await self.post(
            json.dumps({"jsonrpc": "2.0", "id": 5, "method": method, "params": list(params)}).encode()
        )
        assert isinstance(answer, dict)
        assert answer["id"] == 5
        return answer


@pytest_asyncio.fixture
async def door():
    limits = GateLimits(body_bytes=4096, batch_calls=3, calls_per_s=0.001, burst=40, call_timeout_s=0.3)
    purse = Purse()
    async with StubNode(eth_blockNumber=lambda: "0x10") as node, aiohttp.ClientSession() as session:
        gate = Gate(node.url, faucet=Faucet(purse, gift_wei=2, per_address_wei=5, total_wei=9), limits=limits)
        yield Door(node, gate, await gate.start(), session, purse)
        await gate.stop()


def code(answer: object) -> int:
    assert isinstance(answer, dict)
    return answer["error"]["code"]


async def test_reads_are_passed_on(door):
    assert (await door.call("eth_blockNumber"))["result"] == "0x10"


async def test_the_nodes_refusals_are_passed_on(door):
    def refuse(call: object) -> None:
        raise Refuses(3, "execution reverted", "0xdeadbeef")

    door.node.answers["eth_estimateGas"] = refuse
    answer = await door.call("eth_estimateGas", {})
    assert answer["error"] == {"code": 3, "message": "execution reverted", "data": "0xdeadbeef"}


@pytest.mark.parametrize(
    "method",
    ["anvil_setBalance", "evm_mine", "evm_increaseTime", "eth_sendTransaction", "eth_sign", "eth_accounts", "personal_",
     "debug_traceTransaction", "hardhat_impersonateAccount", "txpool_content", "eth_subscribe", "ETH_BLOCKNUMBER", ""],
)  # fmt: skip
async def test_everything_else_is_refused(door, method):
    assert code(await door.call(method)) == METHOD_NOT_FOUND
    assert door.node.calls == []


async def test_the_allow_list_holds_no_method_that_cheats():
    assert all(name.startswith(("eth_", "net_", "web3_")) for name in ALLOWED_METHODS)
    assert not set(ALLOWED_METHODS) & {"eth_sendTransaction", "eth_sign", "eth_signTransaction", "eth_accounts"}


async def test_what_is_true_is_told_of_no_other_state_but_a_price_may_be_asked_for_one(door):
    pretended = {"0x00": {"balance": "0xff"}}
    assert code(await door.call("eth_call", {}, "latest", pretended)) == INVALID_PARAMS
    assert door.node.calls == []
    await door.call("eth_estimateGas", {}, "latest", pretended)
    assert door.node.calls == [("eth_estimateGas", [{}, "latest", pretended])]
    assert code(await door.call("eth_estimateGas", {}, "latest", pretended, {})) == INVALID_PARAMS


@pytest.mark.parametrize(
    "call",
    [
        {"method": "eth_blockNumber"},
        {"id": None, "method": "eth_blockNumber"},
        {"id": 1.5, "method": "eth_blockNumber"},
        {"id": [], "method": "eth_blockNumber"},
        {"id": "x" * 100, "method": "eth_blockNumber"},
        {"id": 1},
        {"id": 1, "method": 7},
        {"id": 1, "method": "eth_blockNumber", "params": {"a": 1}},
        7,
        "text",
        None,
        [[]],
        [7, None],
        [],
        [{"id": 1, "method": "eth_blockNumber"}] * 4,
    ],
)
async def test_malformed_calls_are_answered_not_passed_on(door, call):
    status, answer = await door.post(json.dumps(call).encode())
    assert status == 200
    for part in answer if isinstance(answer, list) else [answer]:
        assert code(part) == INVALID_REQUEST
    assert door.node.calls == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\x00", b"[" * 4000])
async def test_what_is_not_json_is_answered(door, body):
    status, answer = await door.post(body)
    assert status == 200
    assert code(answer) in {PARSE_ERROR, INVALID_REQUEST}


async def test_large_bodies_are_refused(door):
    status, answer = await door.post(b" " * 5000)
    assert status == 413
    assert code(answer) == INVALID_REQUEST


async def test_web_pages_cannot_use_the_gate(door):
    status, _ = await door.post(b'{"id": 1, "method": "eth_blockNumber"}', content_type="text/plain")
    assert status == 415
    assert door.node.calls == []


async def test_a_batch_is_answered_in_order(door):
    batch = [{"id": number, "method": method} for number, method in enumerate(["eth_blockNumber", "evm_mine"])]
    _, answers = await door.post(json.dumps(batch).encode())
    assert answers[0] == {"jsonrpc": "2.0", "id": 0, "result": "0x10"}
    assert code(answers[1]) == METHOD_NOT_FOUND


async def test_too_many_calls_are_refused(door):
    answers = [await door.call("eth_blockNumber") for _ in range(41)]
    assert [("result" in answer) for answer in answers] == [True] * 40 + [False]
    assert code(answers[-1]) == LIMIT_EXCEEDED


async def test_a_stopped_node_is_said_to_be_down(door):
    await door.node.__aexit__()
    assert code(await door.call("eth_blockNumber")) == NODE_DOWN


async def test_a_silent_node_is_said_to_be_down(door):
    async def never() -> None:
        await asyncio.Event().wait()

    door.node.answers["eth_blockNumber"] = never
    assert code(await door.call("eth_blockNumber")) == NODE_DOWN


async def test_a_node_that_moved_on_is_asked_again(door):
    answers = iter([False, False, True])

    def sometimes() -> str:
        if not next(answers):
            raise Refuses(-32602, "BlockOutOfRangeError: block height is 2 but requested was 1")
        return "0x2"

    door.node.answers["eth_blockNumber"] = sometimes
    assert (await door.call("eth_blockNumber"))["result"] == "0x2"


async def test_a_restarted_node_gets_the_recent_transactions_again_in_order(door):
    door.node.answers["eth_sendRawTransaction"] = lambda raw: "0x" + "00" * 32
    for raw in ("0x01", "0x02"):
        await door.call("eth_sendRawTransaction", raw)

    def refuse(raw: str) -> str:
        raise Refuses(-32003, "nonce too low")

    door.node.answers["eth_sendRawTransaction"] = refuse
    await door.call("eth_sendRawTransaction", "0x03")
    assert await door.gate.resend() == 0
    door.node.calls.clear()
    door.node.answers["eth_sendRawTransaction"] = lambda raw: "0x" + "00" * 32
    assert await door.gate.resend() == 2
    assert door.node.calls == [("eth_sendRawTransaction", [raw]) for raw in ("0x01", "0x02")]


async def test_the_faucet_gives_up_to_its_caps(door):
    for _ in range(2):
        assert (await door.call("swarm_faucet", ADA.wallet))["result"] == "0x" + "ab" * 32
    assert code(await door.call("swarm_faucet", ADA.wallet.lower())) == FAUCET_REFUSED  # per address: 5
    for _ in range(2):
        await door.call("swarm_faucet", BEN.wallet)
    assert code(await door.call("swarm_faucet", CYD.wallet)) == FAUCET_REFUSED  # in total: 9
    assert door.purse.sent == [(ADA.wallet, 2)] * 2 + [(BEN.wallet, 2)] * 2


async def test_the_faucet_adds_tokens_to_an_addresss_first_gift_up_to_its_cap():
    purse = Purse()
    faucet = Faucet(purse, gift_wei=2, per_address_wei=5, tokens=Tokens(CYD.wallet, gift_wei=7, total_wei=15))
    for player in (ADA, ADA, BEN, DAN):
        await faucet.give(player.wallet)
    gas = [(player.wallet, 2) for player in (ADA, ADA, BEN, DAN)]
    assert [sent for sent in purse.sent if sent[1]] == gas
    tokens = [data for (to, _), data in zip(purse.sent, purse.data, strict=True) if to == CYD.wallet]
    transfer = function("SwarmToken", "transfer")
    assert tokens == [transfer.call_data(player.wallet, 7) for player in (ADA, BEN)]  # in total: 15


async def test_the_faucet_adds_a_bond_to_the_second_gift_and_nothing_to_later_ones():
    purse = Purse()
    assert await tokens_given(purse, held=[0, 0, 0]) == [7, 3]
    assert [to for to, amount in purse.sent if amount] == [ADA.wallet] * 4


async def test_who_asks_again_with_its_tokens_still_there_gets_the_bond_when_they_are_spent():
    assert await tokens_given(Purse(), held=[7, 2, 0]) == [7, 3]
    assert await tokens_given(Purse(), held=[7, 7, 3]) == [7]


async def test_a_bond_needs_somebody_who_says_what_is_left():
    with pytest.raises(ValueError, match="held"):
        Faucet(Purse(), tokens=Tokens(CYD.wallet, gift_wei=7, total_wei=100, bond_wei=3))


async def tokens_given(purse: Purse, held: list[int]) -> list[int]:
    """Amounts of tokens in four gifts to Ada, asked for at once, who holds so many before each but the first."""
    left = iter(held)

    async def holds(address: str) -> int:
        assert address == ADA.wallet
        await asyncio.sleep(0)  # the others would come in between
        return next(left)

    tokens = Tokens(CYD.wallet, gift_wei=7, total_wei=100, bond_wei=3)
    faucet = Faucet(purse, gift_wei=2, per_address_wei=50, tokens=tokens, held=holds)
    await asyncio.gather(*(faucet.give(ADA.wallet) for _ in range(4)))
    transfer = function("SwarmToken", "transfer")
    amounts = {transfer.call_data(ADA.wallet, amount): amount for amount in (7, 3)}
    return [amounts[data] for (to, _), data in zip(purse.sent, purse.data, strict=True) if to == CYD.wallet]


async def test_the_faucets_cap_holds_for_requests_at_the_same_time(door):
    answers = await asyncio.gather(*(door.call("swarm_faucet", ADA.wallet) for _ in range(10)))
    assert sum("result" in answer for answer in answers) == 2
    assert len(door.purse.sent) == 2


@pytest.mark.parametrize("params", [[], ["0x12"], [7], [None], ["x" * 3000], ["a", "b"], [{"to": "x"}]])
async def test_the_faucet_wants_an_address(door, params):
    assert code(await door.call("swarm_faucet", *params)) == INVALID_PARAMS
    assert door.purse.sent == []


async def test_the_join_token_is_told_when_there_is_one(door):
    assert code(await door.call("swarm_token")) == METHOD_NOT_FOUND
    door.gate.join_token = "swarm1-abc"
    assert (await door.call("swarm_token"))["result"] == "swarm1-abc"


async def test_a_gate_without_a_faucet_does_not_know_it():
    async with StubNode() as node, aiohttp.ClientSession() as session:
        gate = Gate(node.url)
        door = Door(node, gate, await gate.start(), session, Purse())
        assert code(await door.call("swarm_faucet", ADA.wallet)) == METHOD_NOT_FOUND
        await gate.stop()


async def test_a_taken_port_is_a_clear_error(door):
    port = int(door.url.rsplit(":", 1)[1])
    with pytest.raises(ConfigError) as caught:
        await Gate(door.node.url).start(port=port)
    assert str(port) in caught.value.what
