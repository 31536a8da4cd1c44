"""What a visitor gets: every page, without a script, whatever peers call themselves and whatever they say."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest
from starlette.testclient import TestClient

from swarm.indexing.rows import TEXT_CAP, Run, Said, Trouble, VerdictRow
from tests.web.conftest import NOW, NUM_ROUNDS
from web import sample
from web.app import build_app
from web.store import Store

PAGES = ("/", "/rounds", f"/rounds/{NUM_ROUNDS}", "/disputes", "/said", "/glossary", "/api")

EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% include 'base.html' %}",
    "\x1b[2J\x1b]0;owned\x07",
    "‮evil‬⁦x⁩\u200b\ufeff",
    "a\0b\ud800c",
    "x" * 5_000_000,
    "\n".join("line" for _ in range(100_000)),
    "Z" + "\u0301" * 10_000,
)


class Outline(HTMLParser):
    """Headings, labels and anything that could run."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.scripts: list[dict[str, str | None]] = []
        self.inline: list[str] = []
        self.inputs: list[dict[str, str | None]] = []
        self.labels: set[str | None] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "script":
            self.scripts.append(found)
        if tag == "input" and found.get("type") != "hidden":
            self.inputs.append(found)
        if tag == "label":
            self.labels.add(found.get("for"))
        self.inline += [name for name in found if name.startswith("on") or name == "style"]
        self.ids += [found["id"] or ""] if "id" in found else []


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    return parser


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_one_title_ordered_headings_labels_and_nothing_inline(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    page = outline(answer.text)
    assert page.headings.count(1) == 1
    assert page.headings[0] == 1
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert page.inline == []
    assert page.scripts
    assert all(script.get("src", "").startswith("/static/") for script in page.scripts)  # type: ignore[union-attr]
    assert all(one.get("id") in page.labels for one in page.inputs)
    assert len(page.ids) == len(set(page.ids))
    assert answer.text.count("<!doctype html>") == 1


@pytest.mark.parametrize("path", [*PAGES, "/api/v1/peers", "/static/app.js", "/nowhere"])
def test_every_answer_forbids_inline_scripts_and_other_hosts(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in headers


def test_the_table_says_who_has_what_without_any_script(client: TestClient, peers: list[str]) -> None:
    table = client.get("/api/v1/peers").json()["peers"]
    html = client.get("/").text
    for peer in table:
        assert peer["nickname"] in html
        assert f'href="/peers/{peer["peer"]}"' in html
    assert f"{table[0]['credits_micro'] // 1000 / 1000:.3f}" in html
    assert html.index(table[0]["nickname"]) < html.index(table[1]["nickname"])
    assert "recomputed" in html
    assert len(table) == len(peers)


@pytest.mark.parametrize("by", ["nickname", "peer", "owner"])
def test_a_search_finds_by_nickname_id_and_address(client: TestClient, peers: list[str], by: str) -> None:
    wanted = client.get(f"/api/v1/peers/{peers[4]}").json()
    text = wanted[by][:9] if by == "owner" else wanted[by][-12:]
    html = client.get("/", params={"q": text.upper() if by == "owner" else text}).text
    assert f'href="/peers/{peers[4]}"' in html
    assert html.count('class="who"') == 1


def test_a_search_for_nobody_says_so_and_takes_wildcards_as_they_are(client: TestClient) -> None:
    for text in ("nobody-of-this-name", "%", "_", "'; drop table peers; --"):
        assert "Nobody here is called that" in client.get("/", params={"q": text}).text
    assert client.get("/api/v1/peers").json()["total"] == 12


def test_a_permalink_by_nickname_leads_to_the_id(client: TestClient, peers: list[str]) -> None:
    nickname = client.get(f"/api/v1/peers/{peers[0]}").json()["nickname"]
    answer = client.get(f"/peers/{nickname}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, f"/peers/{peers[0]}")


def test_a_peers_page_shows_the_way_of_each_contribution(client: TestClient, peers: list[str]) -> None:
    html = client.get(f"/peers/{peers[0]}").text
    assert html.count(">paid</span>") + html.count(">struck</span>") == NUM_ROUNDS - 1
    assert html.count(">pending</span>") == 1
    assert "<polyline" in html, "a line that needs no script stands where the chart will be"
    assert "Identity" in html


def test_parts_are_the_same_pieces_as_in_the_page(client: TestClient) -> None:
    page = client.get("/", params={"sort": "name"}).text
    part = client.get("/", params={"sort": "name", "part": "table"})
    assert part.headers["hx-push-url"] == "/?sort=name"
    assert part.text.strip() in page
    assert client.get("/", params={"part": "summary"}).text.strip().startswith("<section")


def test_what_is_unknown_is_a_page_with_a_way_back(client: TestClient) -> None:
    for path in ("/peers/nobody", "/rounds/999", "/rounds/-1", "/disputes/none", "/nowhere"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert 'href="/"' in answer.text
    assert client.get("/rounds/x").status_code == 422
    assert client.post("/").status_code == 405


def test_old_data_are_called_old_and_health_says_so(played: Store) -> None:
    played.put([Trouble(NOW, "The chain's endpoint does not answer.")])
    later = NOW + 400.0
    with TestClient(build_app(played._engine, now=lambda: later)) as client:
        html = client.get("/").text
        assert "Stale data." in html
        assert "The chain&#39;s endpoint does not answer." in html
        assert client.get("/healthz").status_code == 503
        assert client.get("/api/v1/summary").json()["is_stale"] is True
    with TestClient(build_app(played._engine, now=lambda: NOW + 3.0)) as client:
        assert "Stale data." not in client.get("/").text
        assert client.get("/healthz").json() == {"ok": True, "index_age_s": 3}


def test_an_empty_index_is_a_page_that_says_what_will_come(store: Store) -> None:
    with TestClient(build_app(store._engine)) as client:
        for path in ("/", "/rounds", "/disputes", "/said", "/glossary", "/api", "/api/v1/summary", "/api/v1/course"):
            assert client.get(path).status_code == 200
        assert "Nobody has enrolled yet" in client.get("/").text


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_hostile_words_are_shown_harmlessly_everywhere(played: Store, peers: list[str], evil: str) -> None:
    round = NUM_ROUNDS + 1
    about = sample.digest(NUM_ROUNDS, peers[0])
    run = sample.run_row()
    played.put([msgspec.structs.replace(run, name=evil[:TEXT_CAP], model_name=evil[:TEXT_CAP], task=evil[:TEXT_CAP])])
    played.put(
        [
            Said(round, peers[0], "critique", 0, evil[:TEXT_CAP], evil[:TEXT_CAP], 1, evil[:TEXT_CAP], 9, len(evil)),
            VerdictRow(sample.digest("evil"), round, peers[1], about, 1, "mismatch", evil[:300]),
            Trouble(NOW, evil[:TEXT_CAP]),
        ]
    )
    assert isinstance(run, Run)
    with TestClient(build_app(played._engine, now=lambda: NOW + 500.0)) as client:
        for path in ("/", "/said", f"/peers/{peers[0]}", f"/rounds/{NUM_ROUNDS}", "/glossary"):
            answer = client.get(path)
            assert answer.status_code == 200
            page = outline(answer.text)
            assert page.inline == []
            assert all("src" in script for script in page.scripts)
            assert "<script>alert" not in answer.text
            assert "<img src=x" not in answer.text
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff]", answer.text)
            assert len(answer.text) < 200_000
        body = client.get("/api/v1/said").text
        assert len(body) < 60_000
        assert "\\u202e" not in body
        assert "\u202e" not in body


def test_hostile_queries_are_answered_and_never_echoed_raw(client: TestClient) -> None:
    for text in ("<script>alert(1)</script>", '"onfocus=alert(1) x="', "\x1b[31m", "‮x"):
        html = client.get("/", params={"q": text, "sort": text, "part": text[:20]}).text
        assert "<script>alert" not in html
        assert outline(html).inline == []
    assert client.get("/", params={"q": "x" * 1000}).status_code == 422
    assert client.get("/", params={"page": "99999999999"}).status_code == 422
    assert client.get("/", params={"page": "500"}).status_code == 200
