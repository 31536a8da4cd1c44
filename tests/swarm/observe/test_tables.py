import io
import re

import msgspec
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


def test_rounds_have_a_column_for_levels_where_their_task_has_any(tmp_path):
    playback.write(tmp_path, num_rounds=2)
    plain, levelled = queries.rounds(tmp_path, 2)
    levelled = msgspec.structs.replace(levelled, level=2, num_levels=5)
    assert "2 of 5" in shown(tables.rounds_table((plain, levelled)))
    assert "level" not in shown(tables.rounds_table((plain,)))


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


def renders(home):
    return (
        tables.status_table(queries.status(home, NOW, alive=lambda _p, _a: True), NOW),
        tables.rounds_table(queries.rounds(home, 10)),
        tables.peers_table(queries.peers(home), NOW),
        tables.credits_table(queries.credits(home)),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    playback.write(home, num_rounds=12, degraded=True)
    return home


@pytest.mark.parametrize("width", [60, 80, 100, 140, 300])
@pytest.mark.parametrize("which", range(4))
def test_nothing_is_cut_at_any_usual_width(home, which, width):
    text = shown(renders(home)[which], width)
    assert not re.search(r"…(\s|$)", text), "an id is shortened in its middle; a cell that ends so was cut"
    assert max(len(line) for line in text.splitlines()) <= width
    assert len([line for line in text.splitlines() if " ─" in line]) == 1


def test_a_narrow_screen_drops_whole_columns_and_says_which(home):
    text = shown(renders(home)[0], 80)
    header = text.splitlines()[1]
    assert header.split()[:3] == ["peer", "state", "round"]
    assert "wallet" not in header
    assert playback.address(0)[:6] not in text
    assert "Not shown for want of width: time left, done, peer id, wallet." in text
    assert re.search(r"limber-steady-seal +running +12 +between rounds +8.651723 +6.957567", text)
    assert "8.651723" in text


def test_the_rounds_keep_what_matters_most(home):
    header = shown(renders(home)[1], 80).splitlines()[1].split()
    assert header == ["round", "outcome", "time", "overhead", "score", "settled", "credits", "dropped"]
    assert shown(renders(home)[1], 50).splitlines()[1].split() == ["round", "outcome", "time", "score", "credits"]


def test_a_wide_screen_shows_everything_and_no_note(home):
    for table in renders(home):
        assert "Not shown" not in shown(table, 300)
