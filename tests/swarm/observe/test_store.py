import os
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import events as e
from protocol.ids import PeerId
from swarm.observe import schema, store
from swarm.observe.eventlog import EventLog
from swarm.observe.fold import OTHERS
from swarm.observe.store import Store
from tests.swarm.observe import playback


def write_log(path, steps):
    now = [0.0]
    with EventLog(path, now=lambda: now[0]) as log:
        for now[0], event in steps:
            log.append(event)
    return path


def dump(log, name):
    with Store(log, log.with_name(name)) as made:
        made.refresh()
        return made.dump()


def test_a_rebuilt_read_model_equals_one_grown_event_by_event(tmp_path):
    steps = list(playback.script(1, 3, 3, degraded=True))
    log = tmp_path / "events.jsonl"
    now = [0.0]
    with EventLog(log, now=lambda: now[0]) as writer, Store(log) as grown:
        for index, (now[0], event) in enumerate(steps):
            writer.append(event)
            assert grown.refresh()
            if index % 7 == 0 or index == len(steps) - 1:
                assert grown.dump() == dump(log, f"fresh-{index}.sqlite")
        assert not grown.refresh()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_split_of_any_order_of_events_gives_the_same_tables(tmp_path_factory, data):
    home = tmp_path_factory.mktemp("split")
    pool = [event for _, event in playback.script(0, 3, 2, degraded=True)]
    events = data.draw(st.lists(st.sampled_from(pool), max_size=40))
    cuts = set(data.draw(st.lists(st.integers(0, 40), max_size=5)))
    now = [0.0]
    with EventLog(home / "log", now=lambda: now[0]) as writer, Store(home / "log", home / "grown") as grown:
        for index, event in enumerate(events):
            now[0] += 1
            writer.append(event)
            if index in cuts:
                grown.refresh()
        grown.refresh()
        assert grown.dump() == dump(home / "log", "fresh")


@pytest.mark.parametrize("damage", ["garbage", "truncated", "flipped", "other_version", "another_database", "empty"])
def test_a_damaged_or_foreign_read_model_is_made_again(tmp_path, damage):
    log = write_log(tmp_path / "events.jsonl", playback.script(0, 3, 2))
    expected = dump(log, "read.sqlite")
    file = tmp_path / "read.sqlite"
    content = file.read_bytes()
    if damage == "garbage":
        file.write_bytes(os.urandom(8192))
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        file.write_bytes(content[:4096] + bytes(byte ^ 0xFF for byte in content[4096:12288]) + content[12288:])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        with sqlite3.connect(file) as db:
            if damage == "other_version":
                db.execute("UPDATE made_by SET version = 999")
                db.execute("DELETE FROM rounds")
            else:
                db.execute("DROP TABLE made_by")
        db.close()
    assert dump(log, "read.sqlite") == expected


def test_a_replaced_log_empties_the_tables(tmp_path):
    log = write_log(tmp_path / "events.jsonl", playback.script(0, 3, 2))
    with Store(log) as kept:
        kept.refresh()
        log.unlink()
        write_log(log, list(playback.script(1, 3, 1)))
        assert kept.refresh()
        assert kept.dump() == dump(log, "fresh.sqlite")
        assert kept.row("SELECT peer FROM self")["peer"] == playback.peer_id(1)


def test_two_readers_may_refresh_the_same_file(tmp_path):
    log = write_log(tmp_path / "events.jsonl", playback.script(0, 3, 1))
    with Store(log) as one, Store(log) as two:
        assert one.refresh()
        assert not two.refresh()
        assert one.dump() == two.dump()


def test_garbage_lines_are_counted(tmp_path):
    log = write_log(tmp_path / "events.jsonl", playback.script(0, 3, 1))
    with log.open("ab") as file:
        file.write(b"junk\n\x00\x00\n")
    with Store(log) as made:
        made.refresh()
        assert made.row("SELECT num_garbage FROM log")["num_garbage"] == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written_is_still_read(tmp_path):
    log = write_log(tmp_path / "events.jsonl", playback.script(0, 3, 1))
    tmp_path.chmod(0o500)
    try:
        with Store(log) as made:
            assert made.refresh()
            assert made.row("SELECT count(*) AS num FROM rounds")["num"] == 1
    finally:
        tmp_path.chmod(0o700)


def test_numbers_and_floods_from_strangers_stay_bounded(tmp_path):
    huge = 2**64 - 1
    steps = [(1.0, e.PeerSeen(PeerId("p"), "x" * 5000, huge))]
    steps += [
        (2.0, e.RecordRejected(huge, f"made-up-{index}", "k" * 500, "unsigned", "d" * 5000)) for index in range(500)
    ]
    log = write_log(tmp_path / "events.jsonl", steps)
    with Store(log) as made:
        made.refresh()
        rows = made.rows("SELECT * FROM rejections")
        assert len(rows) == schema.NUM_REJECTED_PEERS_PER_ROUND + 1
        assert sum(row["count"] for row in rows) == 500
        assert {row["count"] for row in rows if row["peer"] == OTHERS} == {500 - schema.NUM_REJECTED_PEERS_PER_ROUND}
        assert max(len(row["kind"]) + len(row["detail"]) for row in rows) <= 432
        assert len(made.row("SELECT phase FROM peers_seen")["phase"]) == 64


def test_only_the_newest_questions_are_kept(tmp_path):
    last = schema.NUM_QUESTIONS_KEPT + 16
    log = write_log(tmp_path / "events.jsonl", playback.script(0, 3, last))
    with Store(log) as made:
        made.refresh()
        kept = [row["round"] for row in made.rows("SELECT round FROM questions ORDER BY seq")]
    assert kept == list(range(17, last + 1))


def test_a_restart_ends_the_problems_of_the_life_before(tmp_path):
    again = next(event for _, event in playback.script(0, 3, 0))
    steps = [(1.0, again), (2.0, e.Problem("NetworkError", "w", "s", "n")), (3.0, again)]
    log = write_log(tmp_path / "events.jsonl", steps)
    with Store(log) as made:
        made.refresh()
        assert made.row("SELECT recovered_at FROM problems")["recovered_at"] == 3.0
        assert made.row("SELECT num_starts FROM self")["num_starts"] == 2


def test_the_list_of_tables_is_complete(tmp_path):
    with Store(tmp_path / "events.jsonl") as made:
        named = {row["name"] for row in made.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert named == {*store._TABLES, "made_by"}


def test_a_round_that_was_settled_before_this_peer_knew_what_is_in_it_is_kept_all_the_same(tmp_path):
    peer = PeerId("16Uiu2HAmGrKz1qLyn6jLHoQVUoLSCCyAoPfnpyz8sRYzayJiFcpV")
    settled = e.RoundSettled(2, "0" * 64, "a" * 64, (), {peer: 710_638}, None)
    log = write_log(tmp_path / "events.jsonl", [(1.0, settled)])
    with Store(log) as made:
        made.refresh()
        assert made.row("SELECT poster FROM settlements WHERE round = 2")["poster"] is None
        assert made.row("SELECT micro_credits FROM credits WHERE round = 2")["micro_credits"] == 710_638
