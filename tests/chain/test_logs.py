"""Logs become names and arguments by the checked-in ABIs; one that no contract of ours can have written is refused."""

import json
from typing import Any

import pytest
from eth_abi.abi import encode

from chain.abi import CONTRACT_NAMES, event, events
from chain.logs import Log, decode_log
from protocol.errors import ChainError

KEY, OTHER = "ab" * 32, "cd" * 32
REPORTER = "0x" + "11" * 20


def proven(**changed: Any) -> dict[str, Any]:
    """Somebody signed twice for round 7, as an endpoint tells it."""
    topic = event("Equivocation", "EquivocationProven").topic
    topics = [topic, "0x" + KEY, f"0x{7:064x}", "0x" + REPORTER[2:].zfill(64)]
    data = encode(["bytes32", "bytes32", "uint256"], [b"\x01" * 32, bytes.fromhex(OTHER), 5 * 10**18])
    return {
        "topics": topics, "data": "0x" + data.hex(), "blockNumber": "0x10", "logIndex": "0x2",
        "transactionHash": "0x" + "EF" * 32,
    } | changed  # fmt: skip


def test_a_log_is_told_by_names_and_in_values_that_json_can_write():
    found = decode_log("Equivocation", proven())
    arguments = {
        "peerKey": KEY, "round": 7, "reporter": REPORTER, "contentA": "01" * 32, "contentB": OTHER,
        "slashedWei": 5 * 10**18,
    }  # fmt: skip
    assert found == Log("Equivocation", "EquivocationProven", arguments, 16, 2, "0x" + "ef" * 32)
    assert json.loads(json.dumps(arguments)) == arguments


def test_upper_case_is_the_same_and_what_is_not_known_is_passed_over():
    upper = [topic.upper().replace("X", "x", 1) for topic in proven()["topics"]]
    assert decode_log("Equivocation", proven(topics=upper)) == decode_log("Equivocation", proven())
    assert decode_log("Equivocation", proven(topics=["0x" + KEY])) is None
    assert decode_log("Equivocation", proven(topics=[])) is None
    assert decode_log("Settlement", proven()) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"topics": proven()["topics"][:2]}, {"topics": [*proven()["topics"][:3], "0xzz"]}, {"topics": [7]},
        {"data": "0x"}, {"data": "0xgg"}, {"data": None}, {"blockNumber": "ten"}, {"logIndex": None},
    ],
)  # fmt: skip
def test_a_log_that_no_contract_of_ours_wrote_is_refused(changed):
    with pytest.raises(ChainError) as caught:
        decode_log("Equivocation", proven(**changed))
    assert caught.value.reason == "ForeignContract"


def test_every_event_is_found_by_its_name_as_by_its_topic():
    for contract in CONTRACT_NAMES:
        for topic, kind in events(contract).items():
            assert event(contract, kind.name) is kind
            assert (kind.topic, len(topic)) == (topic, 66)
