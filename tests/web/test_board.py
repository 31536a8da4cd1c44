"""The table in memory: orders, search and pages of one version of the index."""

from __future__ import annotations

import pytest

from web.board import FIELDS, SORTS, Board


def entry(name: str, rank: int | None, **values: int | None) -> tuple[str, list[object]]:
    known = dict.fromkeys(FIELDS, 0) | {"peer": name, "nickname": name, "rank": rank, "is_member": True} | values
    return f"{name} 0x{rank}", [known[field] for field in FIELDS]


BOARD = Board(
    7,
    [
        entry("b", 2, rounds=5, mean_milli=None, standing_milli=900, last_seen_at=10),
        entry("c", None, rounds=5, mean_milli=0, standing_milli=100, last_seen_at=30),
        entry("a", 1, rounds=5, mean_milli=700, standing_milli=900, last_seen_at=20),
    ],
)


def names(q: str = "", sort: str = "credits", page: int = 1, size: int = 50) -> str:
    return "".join(peer.peer for peer in BOARD.standings(q, sort, page, size).peers)


@pytest.mark.parametrize(
    ("sort", "order"),
    [("credits", "abc"), ("name", "abc"), ("rounds", "abc"), ("score", "acb"), ("standing", "abc"), ("seen", "cab")],
)
def test_each_order_ends_with_the_unknown_and_equals_go_by_rank(sort: str, order: str) -> None:
    assert names(sort=sort) == order


def test_every_order_is_tested_above_and_an_unknown_one_is_by_credits() -> None:
    assert set(SORTS) == {"credits", "name", "rounds", "score", "standing", "seen"}
    found = BOARD.standings("", "<script>", 1, 50)
    assert (found.sort, found.peers[0].peer) == ("credits", "a")


def test_a_search_keeps_the_order_and_counts_what_fits() -> None:
    assert names("0X", "seen") == "cab"
    assert names(" B ") == "b"
    found = BOARD.standings("nobody", "seen", 3, 50)
    assert (found.peers, found.total, found.page, found.pages) == ([], 0, 1, 1)


def test_pages_cover_the_table_and_none_is_past_the_end() -> None:
    assert [names(page=page, size=2) for page in (1, 2, 3)] == ["ab", "c", "c"]
    assert BOARD.standings("", "credits", 99, 2).pages == 2
