import os
import threading

import pytest

from protocol.errors import SwarmError
from protocol.events import (
    EVENT_TYPES,
    DataAnswered,
    DataAsked,
    EquivocationEnded,
    EquivocationFound,
    HeldBack,
    MemoryMeasured,
    MemoryPlanned,
    MemoryShrunk,
    NetworkUsed,
    Progress,
    QuestionPlayed,
    Recovered,
    Restarted,
    Said,
    Serving,
    StepSkipped,
    TimesChosen,
    Trained,
    WitnessDoubted,
)
from protocol.ids import ContentId, PeerId
from swarm.observe.eventlog import LINE_CAP, START, EventLog, follow, read, read_from
from tests.swarm.observe import disputed, playback


def ticking(start=100.0):
    now = [start]

    def clock():
        now[0] += 1
        return now[0]

    return clock


def test_what_is_written_is_read_with_its_time_and_number(tmp_path):
    path = tmp_path / "deep" / "events.jsonl"
    with EventLog(path, now=ticking()) as log:
        written = [log.append(Progress("loading", done, 3)) for done in range(3)]
    assert [(one.at, one.seq, one.event.done) for one in written] == [(101, 1, 0), (102, 2, 1), (103, 3, 2)]
    assert read(path).events == tuple(written)
    assert path.stat().st_mode & 0o077 == 0


def test_every_kind_of_event_survives_the_log(tmp_path):
    peer, content = playback.peer_id(1), playback.content("c", 1, 2)
    events = [event for _, event in playback.script(0, 3, 1, degraded=True)] + [
        Recovered("ChainUnreachable"),
        HeldBack(3, 1.5),
        Serving("http://127.0.0.1:9464"),
        Restarted("ended with signal SIGKILL", 2),
        MemoryPlanned("m", "RAM", 3, 4, 1, 2, {"weights": 1}),
        TimesChosen(60, 60, 300, 1.5, 9.5, 3),
        MemoryMeasured("RAM", 3, 3, True),
        MemoryShrunk("sampling", 32.0),
        StepSkipped(1, "OutOfMemory", "It did not fit."),
        NetworkUsed(1, {"publish ok": 4}),
        *disputed.EVENTS,
        DataAsked(2, peer, 0, 7),
        DataAnswered(2, peer, content, shown=True),
        WitnessDoubted(2, peer, content, peer, peer),
        EquivocationFound(2, peer, content, content),
        EquivocationEnded(2, peer, 25_000_000, True),
        disputed.proven(),
    ]
    with EventLog(tmp_path / "log") as log:
        for event in events:
            log.append(event)
    assert [logged.event for logged in read(tmp_path / "log").events] == events
    untested = set(EVENT_TYPES) - {type(event) for event in events}
    assert {kind.__name__ for kind in untested} <= {"Claimed", "AttestationRefused", "Stopped"}


def test_numbers_continue_after_a_restart(tmp_path):
    for expected in (1, 2, 3):
        with EventLog(tmp_path / "log") as log:
            assert log.append(Recovered("x")).seq == expected


@pytest.mark.parametrize("num_kept", range(1, 60))
def test_a_line_torn_anywhere_is_cut_off_and_the_rest_kept(tmp_path, num_kept):
    path = tmp_path / "log"
    with EventLog(path, now=lambda: 5.0) as log:
        log.append(Recovered("first"))
        whole = path.read_bytes()
        log.append(Recovered("second"))
    path.write_bytes((whole + path.read_bytes()[len(whole) :])[: len(whole) + num_kept])
    assert [one.event.error for one in read(path).events] == ["first"]
    with EventLog(path) as log:
        assert log.num_torn_bytes == num_kept
        assert log.append(Recovered("third")).seq == 2
    assert [one.event.error for one in read(path).events] == ["first", "third"]
    assert read(path).num_garbage == 0


def test_a_last_line_that_only_lost_its_newline_is_kept(tmp_path):
    path = tmp_path / "log"
    with EventLog(path) as log:
        log.append(Recovered("whole"))
    path.write_bytes(path.read_bytes()[:-1])
    with EventLog(path) as log:
        assert log.append(Recovered("next")).seq == 2
    assert [one.seq for one in read(path).events] == [1, 2]


def test_garbage_is_counted_and_passed_over(tmp_path):
    path = tmp_path / "log"
    with EventLog(path) as log:
        log.append(Recovered("a"))
    junk = [b"not json", b"\x00" * 64, b'{"at":1,"seq":9,"event":{"type":"FromTheFuture"}}', b"[" * 50_000, b"\xff\xfe"]
    with path.open("ab") as file:
        file.write(b"\n".join(junk) + b"\n")
    with EventLog(path) as log:
        assert log.append(Recovered("b")).seq == 2
    chunk = read(path)
    assert [one.event.error for one in chunk.events] == ["a", "b"]
    assert chunk.num_garbage == len(junk)


def test_a_reader_goes_on_where_it_stopped_and_leaves_a_torn_tail(tmp_path):
    path = tmp_path / "log"
    assert read_from(path).events == ()
    with EventLog(path) as log:
        log.append(Recovered("a"))
        first = read_from(path)
        log.append(Recovered("b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    torn = read_from(path, first.position)
    assert torn.events == ()
    assert torn.position == first.position
    path.write_bytes(whole)
    second = read_from(path, torn.position)
    assert [one.event.error for one in second.events] == ["b"]
    assert not second.restarted


def test_a_replaced_log_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "log"
    for name, num_events in (("old", 3), ("new", 5)):
        path.unlink(missing_ok=True)
        with EventLog(path) as log:
            for _ in range(num_events):
                log.append(Recovered(name))
        if name == "old":
            position = read_from(path).position
    chunk = read_from(path, position)
    assert chunk.restarted
    assert [one.event.error for one in chunk.events] == ["new"] * 5
    path.unlink()
    gone = read_from(path, chunk.position)
    assert gone.restarted
    assert gone.position == START


def test_an_overlong_line_is_skipped_in_pieces(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * (3 * LINE_CAP))
    chunk = read_from(path, max_bytes=LINE_CAP)
    while chunk.more:
        assert chunk.events == ()
        chunk = read_from(path, chunk.position, max_bytes=LINE_CAP)
    with path.open("ab") as file:
        file.write(b"y\n")
    with EventLog(path) as log:
        log.append(Recovered("after"))
    chunk = read_from(path, chunk.position)
    assert [one.event.error for one in chunk.events] == ["after"]
    assert chunk.num_garbage == 1


def test_an_event_that_is_too_long_is_clipped_not_lost(tmp_path):
    said = tuple(Said(PeerId(f"p{index}"), "A", "z" * 200_000, 5, "because") for index in range(8))
    with EventLog(tmp_path / "log") as log:
        logged = log.append(QuestionPlayed(3, "q", "t", said, said, said))
    assert logged.event.round == 3
    assert {len(one.text) for one in logged.event.answers} == {2000}
    assert read(tmp_path / "log").events == (logged,)


def test_a_loss_that_is_not_finite_is_null(tmp_path):
    with EventLog(tmp_path / "log") as log:
        log.append(Trained(1, float("nan"), float("inf"), 1, 1, 1, ContentId("a" * 64), ContentId("b" * 64), 0.5))
    (logged,) = read(tmp_path / "log").events
    assert (logged.event.loss, logged.event.grad_norm) == (None, None)


def test_an_event_that_nobody_could_read_back_is_refused(tmp_path):
    with EventLog(tmp_path / "log") as log:
        with pytest.raises(ValueError, match="state_before"):
            log.append(Trained(1, 0.1, 0.1, 1, 1, 1, ContentId("../../etc"), ContentId("b" * 64), 0.5))
        assert log.append(Recovered("next")).seq == 1
    assert len(read(tmp_path / "log").events) == 1


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = tmp_path / "log"
    log = EventLog(path)
    log.append(Recovered("a"))
    whole, write = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
    with pytest.raises(SwarmError, match="cannot be written"):
        log.append(Recovered("b"))
    monkeypatch.undo()
    assert path.read_bytes() == whole
    assert log.append(Recovered("c")).seq == 2
    log.close()


def test_a_log_that_cannot_be_opened_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SwarmError, match=r"cannot be written.*make the folder writable"):
        EventLog(tmp_path / "file" / "events.jsonl")


def test_following_gives_everything_written_before_the_stop(tmp_path):
    path, stop, seen = tmp_path / "log", threading.Event(), []
    reader = threading.Thread(
        target=lambda: seen.extend(
            one.event.error for chunk in follow(path, stop, poll_s=0.001) for one in chunk.events
        )
    )
    reader.start()
    with EventLog(path) as log:
        for number in range(50):
            log.append(Recovered(str(number)))
    stop.set()
    reader.join(10)
    assert seen == [str(number) for number in range(50)]


def test_threads_share_one_writer(tmp_path):
    with EventLog(tmp_path / "log") as log:
        threads = [threading.Thread(target=lambda: [log.append(Recovered("x")) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [one.seq for one in read(tmp_path / "log").events] == list(range(1, 201))
