"""JSON logs: one object per line, who and which round in each, libraries captured, secrets and hostile text never."""

import io
import json
import logging
import warnings

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from protocol import events as e
from protocol.errors import NetworkError
from swarm.observe.eventlog import EventLog
from swarm.observe.jsonlogs import HIDDEN, JsonLogs, JsonPrinter, redacted
from swarm.observe.notes import Note
from tests.swarm.observe import playback


@pytest.fixture
def logs():
    """(the logs, what they wrote so far as objects); the process's own logging is put back afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    before = (root.handlers, root.level, {name: (logging.getLogger(name).handlers[:], logging.getLogger(name).propagate)
                                          for name in ("hivemind", "transformers")})  # fmt: skip
    made = JsonLogs(stream, secrets=["hush-hush", "k3y"])
    yield made, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    root.handlers, root.level = before[0], before[1]
    for name, (handlers, propagate) in before[2].items():
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, propagate
    structlog.reset_defaults()


def test_every_event_is_an_object_with_who_which_run_and_round(logs, tmp_path):
    made, written = logs
    playback.write(tmp_path, num_peers=2, num_rounds=2, degraded=True)
    printer = JsonPrinter(made, tmp_path, only="peer-1")
    printer.bind(run="abcd")
    assert printer.poll() == len(written())
    opened = next(one for one in written() if one["type"] == "RoundOpened" and one["round"] == 2)
    assert opened["event"] == "round 2: open, 2 members"
    assert (opened["peer"], opened["nickname"], opened["run"]) == ("peer-1", "vital-fair-snail", "abcd")
    assert (opened["level"], opened["timestamp"][-1]) == ("info", "Z")
    assert opened["data"]["closes_at"] > opened["data"]["opened_at"]
    assert {one["peer"] for one in written()} == {"peer-1"}


def test_the_time_is_the_events_own(logs, tmp_path):
    made, written = logs
    with EventLog(tmp_path / "peers" / "1" / "events.jsonl", now=lambda: 1_790_000_000.25) as log:
        log.append(e.Problem("NetworkError", "Nobody answers.", "", ""))
    JsonPrinter(made, tmp_path).poll()
    (told,) = written()
    assert told["timestamp"] == "2026-09-21T14:13:20.250Z"
    assert (told["level"], told["event"]) == ("warning", "problem: Nobody answers.")


def test_a_note_of_the_program_is_a_warning_only_where_something_went_wrong(logs, tmp_path):
    made, written = logs
    printer = JsonPrinter(made, tmp_path)
    printer.note(Note("Leaderboard: http://127.0.0.1:8844/"))
    printer.note(Note("peer 1 ended with exit code 9; starting it again in 0.5 s.", is_trouble=True))
    printer.note(Note("peer 1 gets on again."))
    assert [(one["level"], one["event"][:12]) for one in written()] == [
        ("info", "Leaderboard:"), ("warning", "peer 1 ended"), ("info", "peer 1 gets "),
    ]  # fmt: skip


def test_what_libraries_say_comes_in_the_same_form_with_the_round_it_was_said_in(logs):
    made, written = logs
    made.bound |= {"peer": "1", "round": 7}
    strange = logging.getLogger("transformers")
    strange.addHandler(logging.StreamHandler(io.StringIO()))
    strange.propagate = False
    strange.setLevel(logging.WARNING)  # as it is before a model was loaded
    made.adopt()
    strange.warning("a kernel of %s is missing", "something")
    logging.getLogger("hivemind.dht").error("no route")
    logging.getLogger("hivemind.p2p").info("small talk")
    warnings.warn("old", UserWarning, stacklevel=1)
    told = written()
    assert [one["event"] for one in told[:2]] == ["a kernel of something is missing", "no route"]
    assert [one.get("logger") for one in told] == ["transformers", "hivemind.dht", "py.warnings"]
    assert all((one["peer"], one["round"]) == ("1", 7) for one in told)


def test_the_error_that_ends_a_process_is_an_object_too(logs):
    made, written = logs
    made.fail(NetworkError("Nobody answers.", "So it is.", "Do that."))
    (told,) = written()
    assert (told["level"], told["type"], told["event"], told["next"], told["exit_code"]) == (
        "error", "NetworkError", "Nobody answers.", "Do that.", 4,
    )  # fmt: skip


def test_secrets_are_never_said_whoever_says_them(logs):
    made, written = logs
    logging.getLogger("web3").error("POST https://user:pw@rpc.example/v3/abcdef?key=1 with password=hunter2")
    try:
        raise ValueError("the wallet's hush-hush is wrong")
    except ValueError:
        made.logger.exception("failed with hush-hush", endpoint=["wss://node.example/k3y"])
    text = json.dumps(written())
    for secret in ("abcdef", "user:pw", "hunter2", "hush-hush", "k3y"):
        assert secret not in text
    assert written()[0]["event"] == f"POST https://rpc.example/… with password={HIDDEN}"


def test_addresses_of_this_machine_stay_readable():
    assert redacted("gate at http://127.0.0.1:8545/x is away") == "gate at http://127.0.0.1:8545/x is away"
    assert redacted("gate at https://h.example/ is away") == "gate at https://h.example/ is away"


@given(st.text(max_size=300))
def test_whatever_is_said_stays_one_line_of_json_without_the_secret(text):
    assert "s3cret-value" not in redacted(text + "s3cret-value" + text, ["s3cret-value"])


def test_what_strangers_write_cannot_break_out_of_its_line_nor_flood_it(logs, tmp_path):
    made, written = logs
    hostile = 'x"}\n{"level":"info"}\x1b[2J\u202e' + "A" * 10_000
    with EventLog(tmp_path / "peers" / "1" / "events.jsonl") as log:
        log.append(e.RecordRejected(3, hostile, "k", "malformed", hostile))
        log.append(e.QuestionPlayed(3, hostile, "t", (e.Said(playback.peer_id(0), "A", hostile, 1, ""),), (), ()))
    JsonPrinter(made, tmp_path).poll()
    rejected, question = written()
    for text in (rejected["data"]["detail"], question["data"]["answers"][0]["text"]):
        assert len(text) <= 400
        assert not set(text) & {"\x1b", "\u202e", "\n"}
