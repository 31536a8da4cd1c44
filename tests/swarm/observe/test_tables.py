import io

import pytest
from rich.console import Console

from protocol.events import Problem
from swarm.observe import queries, tables
from swarm.observe.eventlog import EventLog
from tests.swarm.observe import playback

NOW = playback.START_AT + 300


def shown(renderable, width=300):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(renderable)
    return out.getvalue()


def test_the_tables_say_what_the_queries_know(tmp_path):
    playback.write(tmp_path, num_rounds=12, degraded=True)
    status = shown(tables.status_table(queries.status(tmp_path, NOW, alive=lambda _p, _a: True), NOW))
    assert "vital-fair-snail     running" in status
    assert "No RPC endpoint answers" in status
    assert "Start `swarm host` again" in status
    rounds = shown(tables.rounds_table(queries.rounds(tmp_path, 2)))
    assert "11   complete" in rounds
    assert "12   partial" in rounds
    assert "partial: some peers' work did not arrive in time" in rounds
    peers = shown(tables.peers_table(queries.peers(tmp_path), NOW))
    assert "3 wrong signature" in peers
    credits = shown(tables.credits_table(queries.credits(tmp_path)))
    assert "8.91916" in credits
    assert playback.address(0) in credits


@pytest.mark.parametrize("render", [tables.status_table, tables.peers_table])
def test_an_empty_home_is_said_in_words(render):
    assert "yet" in shown(render((), NOW))


def test_other_tables_of_an_empty_home_too():
    assert "yet" in shown(tables.rounds_table(()))
    assert "yet" in shown(tables.credits_table(()))


def test_markup_in_a_problem_is_only_text(tmp_path):
    playback.write(tmp_path, num_peers=1, num_rounds=1)
    with EventLog(tmp_path / "peers" / "peer-1" / "events.jsonl") as log:
        log.append(Problem("X", "[red]what[/nope]", "", ""))
    assert "[red]what[/nope]" in shown(tables.status_table(queries.status(tmp_path, NOW), NOW))
