"""What is kept between requests never outlives a change of the index, nor the second that it was made in."""

from __future__ import annotations

import asyncio
import time

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from tests.web.conftest import NOW, NUM_ROUNDS
from web import live, sample
from web.app import HOLD_S, build_app
from web.queries import Queries
from web.store import Store
from web.templating import MOST_PAGES, Templates


def test_an_answer_is_kept_for_a_moment_and_no_longer(played: Store) -> None:
    clock, answer = [NOW + 0.25], Response("x")
    templates = Templates(Queries(played._engine, lambda: clock[0], hold_s=60.0))
    assert templates.known("key") is None
    assert templates.keep("key", lambda: answer) is answer
    clock[0] += 0.5
    assert templates.known("key") is answer
    assert templates.known("other") is None
    clock[0] += 0.5
    assert templates.known("key") is None


def test_an_answer_made_while_the_index_changes_is_not_kept_for_what_comes_after(played: Store) -> None:
    templates = Templates(Queries(played._engine, lambda: NOW, hold_s=0.2))

    def answer() -> Response:
        played.put([sample.run_row()])
        return Response("old")

    templates.keep("key", answer)
    time.sleep(0.2)
    assert templates.known("key") is None
    templates.moment()
    assert templates.known("key") is None


def test_no_visitor_can_fill_the_memory_with_pages(played: Store) -> None:
    templates = Templates(Queries(played._engine, lambda: NOW, hold_s=60.0))
    for number in range(3 * MOST_PAGES):
        templates.keep(number, Response)
    assert len(templates.moment().pages) == MOST_PAGES


def test_an_index_that_changed_is_seen_by_all_pages_within_a_second(played: Store, peers: list[str]) -> None:
    assert HOLD_S < live.LOOK_S
    with TestClient(build_app(played._engine, now=lambda: NOW + 3.0)) as client:
        old = client.get("/").text
        table = client.get("/api/v1/peers").json()
        assert client.get("/").text == old
        *_, rows = sample.play(peers, NUM_ROUNDS + 1)
        played.put(rows)
        time.sleep(HOLD_S)
        new = client.get("/").text
        assert f'href="/rounds/{NUM_ROUNDS + 1}"' in new
        assert new != old
        assert client.get("/api/v1/peers").json() != table


@pytest.mark.parametrize("hold_s", [0.0, 0.3])
def test_who_asks_when_told_of_a_change_gets_it(
    played: Store, peers: list[str], hold_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.02)
    queries = Queries(played._engine, lambda: NOW, hold_s=hold_s)
    templates, news = Templates(queries), live.News(queries)

    async def listen() -> None:
        async with asyncio.timeout(10), news.watching():
            await asyncio.sleep(0.1)
            events = news.events()
            assert (await anext(events)).event == "hello"
            before, credits = templates.moment().key[0], queries.standings().peers[0].credits_micro
            *_, rows = sample.play(peers, NUM_ROUNDS + 1)
            played.put(rows)
            told = await anext(events)
            assert (told.event, told.data) == ("change", str(before + 1))
            assert templates.moment().key[0] == before + 1
            assert queries.standings().peers[0].credits_micro > credits
            await events.aclose()

    asyncio.run(listen())
