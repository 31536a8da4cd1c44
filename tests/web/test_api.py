"""Every page has a twin for programs, described by OpenAPI, and tables are there as CSV."""

from __future__ import annotations

import csv
import io

import pytest
from starlette.testclient import TestClient

from tests.web.conftest import NUM_PEERS, NUM_ROUNDS
from web.glossary import TERMS


@pytest.mark.parametrize(
    "path",
    ["summary", "course", "peers", "peers/{}", "peers/{}/history", "peers/{}/contributions", "peers/{}/audits",
     "peers/{}/verdicts", "peers/{}/payouts", "rounds", "rounds/3", "epochs", "disputes", "said", "glossary"],
)  # fmt: skip
def test_every_view_is_json(client: TestClient, peers: list[str], path: str) -> None:
    answer = client.get(f"/api/v1/{path.format(peers[0])}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json() or path in ("epochs", "peers/{}/payouts")


def test_openapi_describes_every_call_and_every_number(client: TestClient) -> None:
    schema = client.get("/api/v1/openapi.json").json()
    paths = [path for path in schema["paths"] if path.startswith("/api/v1/")]
    assert len(paths) >= 19
    assert all(call["get"]["description"] for call in schema["paths"].values())
    fields = schema["components"]["schemas"]["Peer"]["properties"]
    assert all("description" in field for name, field in fields.items() if name != "is_member")


def test_pages_of_the_table_are_the_table(client: TestClient) -> None:
    whole = client.get("/api/v1/peers", params={"size": 500}).json()
    assert whole["total"] == NUM_PEERS
    pieces = [client.get("/api/v1/peers", params={"size": 5, "page": page}).json()["peers"] for page in (1, 2, 3)]
    assert [peer for piece in pieces for peer in piece] == whole["peers"]


def test_the_history_of_a_peer_ends_in_its_credits(client: TestClient, peers: list[str]) -> None:
    history = client.get(f"/api/v1/peers/{peers[2]}/history").json()
    peer = client.get(f"/api/v1/peers/{peers[2]}").json()
    assert history["credits_micro"][-1] == peer["credits_micro"]
    assert history["round"] == list(range(1, NUM_ROUNDS + 1))
    assert sum(history["earned_micro"]) == peer["credits_micro"] + peer["pending_micro"] + peer["struck_micro"]


def test_csv_has_every_line_once(client: TestClient, peers: list[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(client.get("/api/v1/peers.csv").text)))
    table = client.get("/api/v1/peers").json()["peers"]
    assert [(row["peer"], int(row["credits_micro"])) for row in rows] == [
        (peer["peer"], peer["credits_micro"]) for peer in table
    ]
    rounds = list(csv.DictReader(io.StringIO(client.get("/api/v1/rounds.csv").text)))
    assert [int(row["round"]) for row in rounds] == list(range(NUM_ROUNDS, 0, -1))
    works = list(csv.DictReader(io.StringIO(client.get(f"/api/v1/peers/{peers[0]}/contributions.csv").text)))
    assert len(works) == NUM_ROUNDS


def test_no_cell_of_a_csv_is_a_formula() -> None:
    from web.api import _cell

    assert [_cell(value) for value in ("=1+1", "+1", "-1", "@x", "plain", 5, True)] == [
        "'=1+1", "'+1", "'-1", "'@x", "plain", 5, 1,
    ]  # fmt: skip


def test_refusals_are_json_too(client: TestClient) -> None:
    answer = client.get("/api/v1/peers/nobody")
    assert (answer.status_code, answer.json()) == (404, {"detail": "No peer of this name is known."})
    assert client.get("/api/v1/peers", params={"size": 10**9}).status_code == 422


def test_every_word_that_a_page_links_to_is_in_the_glossary(client: TestClient, peers: list[str]) -> None:
    import re

    linked: set[str] = set()
    for path in ("/", "/rounds", "/rounds/3", "/disputes", "/said", f"/peers/{peers[0]}"):
        linked |= set(re.findall(r'href="/glossary#([\w-]+)"', client.get(path).text))
    assert linked <= TERMS.keys()
    assert len(linked) > 8
