"""What endpoints say of disputes: too much at once, nonsense, and what is not a move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.abi import event
from chain.base import Contracts, ExpireDispute, OpenDispute, PlayMove
from chain.endpoints import RpcRefused
from chain.recognition import key_of, label
from chain.web3_games import Web3Games
from protocol.errors import ChainError
from protocol.ids import Address, ContentId
from tests.chain.players import Player
from verde.bisect.calldata import StrangeCall, decode

CONTRACTS = Contracts(31337, *[Address(Player(f"contract {number}").wallet) for number in range(11)])
GAME = ContentId("ab" * 32)


class Endpoint:
    """Has logs by block, and refuses to look at more than ``most`` blocks at once."""

    def __init__(self, logs: dict[int, dict], most: int = 100, latest: int = 999) -> None:
        self.logs, self.most, self.latest = logs, most, latest
        self.asked: list[tuple[int, int]] = []

    async def request(self, method: str, *params: object) -> object:
        if method == "eth_blockNumber":
            return hex(self.latest)
        assert method == "eth_getLogs"
        (wanted,) = params
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        if last - first >= self.most:
            raise RpcRefused(-32005, "block range too large")
        self.asked.append((first, last))
        return [log for block, log in sorted(self.logs.items()) if first <= block <= last]


@pytest.mark.asyncio
async def test_a_range_that_is_too_large_is_asked_for_in_halves_and_in_order() -> None:
    endpoint = Endpoint({block: {"number": block} for block in (3, 500, 501, 999)})
    games = Web3Games(endpoint, CONTRACTS)
    assert [log["number"] for log in await games._logs(["0x00"], 0)] == [3, 500, 501, 999]
    assert [first for first, _ in endpoint.asked] == sorted(first for first, _ in endpoint.asked)
    assert sum(last - first + 1 for first, last in endpoint.asked) == 1000


@pytest.mark.asyncio
async def test_an_endpoint_that_shows_no_logs_at_all_says_so() -> None:
    with pytest.raises(RpcRefused):
        await Web3Games(Endpoint({}, most=0, latest=4), CONTRACTS)._logs(["0x00"], 3)


@pytest.mark.parametrize(
    ("topics", "data"),
    [([], "0x"), (["0x00"], "0x"), (["0x00", "0x" + GAME], "0x1234"), (["0x00", 5], "0x"), (["0x00", "0x" + GAME], 7)],
)
def test_an_event_of_another_form_is_of_a_foreign_contract(topics: list[object], data: object) -> None:
    games = Web3Games(Endpoint({}), CONTRACTS)
    with pytest.raises(ChainError) as caught:
        games._said(event("DisputeGame", "DisputeMoved"), {"topics": topics, "data": data})
    assert caught.value.reason == "ForeignContract"


@given(st.binary(max_size=200))
def test_bytes_that_are_no_call_of_a_move_are_told_apart(raw: bytes) -> None:
    with pytest.raises(StrangeCall):
        decode(raw)


def test_intents_about_a_game_are_known_by_game_and_turn_and_accusations_by_peer_and_subject() -> None:
    assert label(PlayMove(GAME, 3, b"")) == f"PlayMove/3/{GAME}"
    assert key_of(PlayMove(GAME, 3, b"a")) == key_of(PlayMove(GAME, 3, b"b")) != key_of(PlayMove(GAME, 4, b"a"))
    assert label(ExpireDispute(GAME, b"")) == f"ExpireDispute/0/{GAME}"
    words = (GAME,) * 5
    step, draw = (OpenDispute("me", 7, b"", b"", *words, subject=subject) for subject in (-1, 2))
    assert (label(step), label(draw)) == ("OpenDispute/7/me/-1", "OpenDispute/7/me/2")
