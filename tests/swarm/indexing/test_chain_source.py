"""Of a token that everybody uses, an index of one run reads only what that run paid."""

from collections.abc import Sequence
from typing import Any

import pytest

from chain.abi import event
from chain.base import Contracts
from protocol.ids import Address
from swarm.indexing.chain_source import RpcSource

PLACES = [Address("0x" + f"{number:040x}") for number in range(1, 20)]
CONTRACTS = Contracts(31337, *PLACES[: len(Contracts.__struct_fields__) - 1])
PEER, OWNER = "ab" * 32, 0xBEEF
HASH = "0x" + "11" * 32


def word(number: int) -> str:
    return f"0x{number:064x}"


def log(address: Address, block: int, index: int, topics: Sequence[str], data: str = "0x") -> dict[str, Any]:
    return {
        "address": address,
        "topics": list(topics),
        "data": data,
        "blockNumber": hex(block),
        "logIndex": hex(index),
        "transactionHash": HASH,
    }


def transfer(block: int, index: int, sender: Address, to: int, micro: int) -> dict[str, Any]:
    topics = [event("SwarmToken", "Transfer").topic, word(int(sender, 16)), word(to)]
    return log(CONTRACTS.token, block, index, topics, word(micro * 10**12))


class Endpoint:
    """Knows some logs and answers as a node does: by contract and by topics."""

    def __init__(self, logs: list[dict[str, Any]]) -> None:
        self.logs = logs
        self.questions: list[dict[str, Any]] = []

    async def request(self, method: str, *params: Any) -> Any:
        if method == "eth_getBlockByNumber":
            return {"hash": HASH, "timestamp": "0x5"}
        assert method == "eth_getLogs"
        (wanted,) = params
        self.questions.append(wanted)
        places = wanted["address"] if isinstance(wanted["address"], list) else [wanted["address"]]
        asked = wanted.get("topics", [])
        return [
            one
            for one in self.logs
            if one["address"].lower() in {place.lower() for place in places} and one["topics"][: len(asked)] == asked
        ]


CLAIM = [event("Settlement", "RewardClaimed").topic, "0x" + PEER]


@pytest.mark.asyncio
async def test_what_a_claim_paid_is_read_and_other_transfers_are_not_asked_for() -> None:
    endpoint = Endpoint(
        [
            log(CONTRACTS.settlement, 4, 1, CLAIM),
            transfer(4, 2, CONTRACTS.settlement, OWNER, 620_000),
            transfer(4, 3, CONTRACTS.vault, OWNER, 7),
        ]
    )
    events, cursor = await RpcSource(endpoint, CONTRACTS, depth=1).events(0, 9)  # type: ignore[arg-type]
    assert [(one.name, one.arguments["amountMicro"]) for one in events] == [("RewardClaimed", 620_000)]
    assert int(events[0].arguments["owner"], 16) == OWNER
    assert cursor.block == 9
    of_the_token = [asked for asked in endpoint.questions if CONTRACTS.token in asked["address"]]
    assert [asked["topics"][1] for asked in of_the_token] == [word(int(CONTRACTS.settlement, 16))]


@pytest.mark.asyncio
async def test_where_nothing_was_claimed_the_token_is_not_asked_at_all() -> None:
    endpoint = Endpoint([transfer(4, 2, CONTRACTS.settlement, OWNER, 620_000)])
    events, _ = await RpcSource(endpoint, CONTRACTS, depth=1).events(0, 9)  # type: ignore[arg-type]
    assert events == []
    assert [CONTRACTS.token in asked["address"] for asked in endpoint.questions] == [False]
