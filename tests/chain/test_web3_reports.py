"""What endpoints say of reports: what a contract of ours cannot have written is told as foreign."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode

from chain.abi import event
from chain.base import Contracts
from chain.keys import peer_key
from chain.web3_reports import Web3Reports
from protocol.errors import ChainError
from protocol.ids import Address
from tests.chain.players import Player

CONTRACTS = Contracts(31337, *[Address(Player(f"contract {number}").wallet) for number in range(11)])
EVE, ADA = Player("eve"), Player("ada")
TOPIC = event("Equivocation", "EquivocationProven").topic


def word(number: int) -> str:
    return f"0x{number:064x}"


def proven(block: int = 9, **changed: Any) -> dict[str, Any]:
    data = encode(["bytes32", "bytes32", "uint256"], [b"\x01" * 32, b"\x02" * 32, 5 * 10**18])
    return {
        "address": CONTRACTS.equivocation,
        "topics": [TOPIC, "0x" + peer_key(EVE.peer).hex(), word(7), word(int(ADA.wallet, 16))],
        "data": "0x" + data.hex(),
        "blockNumber": hex(block),
        "blockHash": word(block),
        "transactionHash": word(99),
    } | changed


class Endpoint:
    """Has these logs, and knows one peer."""

    def __init__(self, *logs: Any) -> None:
        self.logs = logs
        self.asked: list[tuple[str, Any]] = []

    async def request(self, method: str, *params: Any) -> Any:
        self.asked.append((method, params[0] if params else None))
        if method == "eth_blockNumber":
            return hex(20)
        if method == "eth_getBlockByHash":
            return {"timestamp": hex(1_700_000_000)}
        assert method == "eth_getLogs"
        return list(self.logs)


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    async def of(_self: object, key: bytes) -> str:
        assert key == peer_key(EVE.peer)
        return EVE.peer

    monkeypatch.setattr("chain.past_events.PeerNames.of", of)


@pytest.mark.asyncio
async def test_reports_are_read_from_one_kind_of_event_and_a_blocks_time_once() -> None:
    endpoint = Endpoint(proven(), proven(topics=[*proven()["topics"][:2], word(8), word(int(ADA.wallet, 16))]))
    reports = await Web3Reports(endpoint, CONTRACTS).equivocations(5)  # type: ignore[arg-type]
    assert [(one.peer, one.round, one.reporter.lower()) for one in reports] == [
        (EVE.peer, number, ADA.wallet.lower()) for number in (7, 8)
    ]
    assert (reports[0].first, reports[0].second) == ("01" * 32, "02" * 32)
    assert (reports[0].slashed_micro, reports[0].award_micro, reports[0].at) == (5_000_000, 2_500_000, 1_700_000_000)
    (wanted,) = (asked for method, asked in endpoint.asked if method == "eth_getLogs")
    assert (wanted["address"], wanted["topics"]) == (CONTRACTS.equivocation, [TOPIC])
    assert (wanted["fromBlock"], wanted["toBlock"]) == ("0x5", "0x14")
    assert [method for method, _ in endpoint.asked].count("eth_getBlockByHash") == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "log",
    [
        proven(topics=[TOPIC]), proven(topics=[]), proven(topics=7), proven(data="0x"), proven(data=None),
        proven(topics=[*proven()["topics"][:3], "0xzz"]), proven(blockNumber="nine"), 7, {},
    ],
)  # fmt: skip
async def test_a_log_of_another_form_is_refused(log: Any) -> None:
    with pytest.raises(ChainError):
        await Web3Reports(Endpoint(log), CONTRACTS).equivocations()  # type: ignore[arg-type]
