"""The command line is a contract: names, exit codes, what goes to stdout, and the shapes of ``--json``."""

import json
import subprocess
import sys
import types

import pytest

from protocol.errors import ChainError, IdentityError, NetworkError
from protocol.ids import Stage
from protocol.messages import Difference, Finding
from swarm import app as root
from swarm.audit.examining import Examined
from swarm.cli import execute
from tests.swarm.observe import playback

CREDITS = {"earned", "settled", "claimed", "earned_micro", "settled_micro", "claimed_micro"}
TIME = {"total_s", "generate_s", "train_s", "wait_s", "network_s", "chain_s", "other_s", "shares", "overhead_share"}
SHAPES = {
    "status": {
        "name", "nickname", "peer", "address", "running", "state", "pid", "model", "engine", "registered",
        "started_at", "stopped_at", "stop_why", "exit_code", "peak_mb", "memory", "round", "phase", "phase_since",
        "closes_at", "time_left_s", "rounds_completed", "credits", "last_event_at", "problem", "progress",
        "num_garbage",
    },
    "rounds": {
        "round", "outcome", "opened_at", "ended_at", "num_members", "num_settled", "micro_credits", "settled",
        "num_rejected", "time", "peers", "level", "num_levels",
    },
    "peers": {
        "peer", "nickname", "local", "running", "phase", "round", "last_seen_at", "seen_by", "mean_score_milli",
        "num_contributions", "micro_credits", "num_rejected", "rejected",
    },
    "credits": {
        "name", "nickname", "peer", "address", "credits", "unclaimed", "balance_wei", "claims", "by_round", "running",
        "verified", "verified_micro", "unlocked", "unlocked_micro", "waiting", "staked_micro", "exiting_micro",
        "exit_ready_at", "last_event_at",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    playback.write(home, num_rounds=12, degraded=True)
    return home


def told(capsys, *arguments):
    """(exit code, last line of stdout as JSON, stderr)"""
    code = execute([*arguments])
    out, err = capsys.readouterr()
    return code, json.loads(out.splitlines()[-1]), err


@pytest.mark.parametrize("command", SHAPES)
def test_what_is_read_has_a_stable_shape(capsys, home, command):
    code, body, err = told(capsys, command, "--home", str(home), "--json")
    assert (code, err) == (0, "")
    assert body.keys() == {command, *{"credits": ["chain"], "status": ["warnings"]}.get(command, [])}
    for row in body[command]:
        assert row.keys() == SHAPES[command]


def test_status_says_who_what_and_what_is_wrong(capsys, home):
    _, body, _ = told(capsys, "status", "--home", str(home), "--json")
    first = body["status"][0]
    assert (first["name"], first["nickname"], first["peer"]) == ("peer-1", "vital-fair-snail", playback.peer_id(0))
    assert (first["state"], first["running"], first["rounds_completed"]) == ("died", False, 12)
    assert first["credits"].keys() == CREDITS
    assert first["credits"]["settled"] == first["credits"]["settled_micro"] / 1e6 == 8.91916
    assert first["problem"].keys() == {"error", "what", "so_what", "next_step", "at", "recovered_at"}


def test_rounds_show_where_the_time_went(capsys, home):
    _, body, _ = told(capsys, "rounds", "2", "--home", str(home), "--json")
    assert [row["round"] for row in body["rounds"]] == [11, 12]
    assert [row["outcome"] for row in body["rounds"]] == ["complete", "partial"]
    time = body["rounds"][0]["time"]
    assert time.keys() == TIME
    parts = [time[f"{part}_s"] for part in ("generate", "train", "wait", "network", "chain", "other")]
    assert sum(parts) == pytest.approx(time["total_s"], abs=0.01)
    assert time["overhead_share"] == pytest.approx(1 - (parts[0] + parts[1]) / time["total_s"], abs=1e-4)
    mine = body["rounds"][0]["peers"][0]
    assert mine["scores_milli"].keys() == {"answer", "critique", "decide"}


def test_peers_and_credits_tell_amounts_exactly(capsys, home):
    _, peers, _ = told(capsys, "peers", "--home", str(home), "--json")
    stranger = next(row for row in peers["peers"] if not row["local"])
    assert stranger["rejected"] == {"wrong_signature": 3}
    assert stranger["running"] is None
    _, credits, _ = told(capsys, "credits", "--home", str(home), "--json")
    first = credits["credits"][0]
    assert first["credits"]["settled_micro"] == sum(first["by_round"].values()) == 8_919_160
    assert first["unclaimed"] == 1.712032
    assert {type(claim["amount_wei"]) for claim in first["claims"]} == {str}


@pytest.mark.parametrize("command", SHAPES)
def test_an_empty_home_is_an_empty_list_and_a_word_on_stderr(capsys, tmp_path, command):
    code, body, _ = told(capsys, command, "--home", str(tmp_path / "none"), "--json")
    assert (code, body[command]) == (0, [])
    assert execute([command, "--home", str(tmp_path / "none")]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"Nothing was recorded in {tmp_path / 'none'} yet. Start a swarm with `swarm local`.\n"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("command", "last_column"),
    [("status", "wallet"), ("rounds", "dropped"), ("peers", "peer id"), ("credits", "wallet")],
)
def test_a_pipe_gets_every_column_uncut(capsys, home, monkeypatch, command, last_column):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert execute([command, "--home", str(home)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].rstrip().endswith(last_column)
    assert "Not shown" not in out
    if command == "credits":
        assert playback.address(2) in out


def test_the_home_of_the_environment_is_read_too(capsys, home, monkeypatch):
    monkeypatch.setenv("SWARM_HOME", str(home))
    assert len(told(capsys, "status", "--json")[1]["status"]) == 3


def test_help_names_every_command(capsys):
    assert execute(["--help"]) == 0
    out = capsys.readouterr().out
    commands = "local host run status rounds peers credits claim register stake unstake withdraw deploy verify"
    for command in commands.split():
        assert f" {command} " in out


def test_run_is_a_peer_with_all_its_options_and_a_group_of_commands(capsys, monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr(root, "token_finder", lambda *arguments, **more: (arguments[1:], more))
    monkeypatch.setattr(root, "run", lambda chosen, find, **more: given.update(more, find=find, chosen=chosen) or 7)
    arguments = ["run", "--join", "swarm1-x", "--rpc", "http://h:1", "--peer", "2", "--rounds", "4", "--model", "/m"]
    assert execute([*arguments, "--home", str(tmp_path), "--private", "--wait", "9", "--json"]) == 7
    assert given["find"] == ((["swarm1-x"], ["http://h:1"]), {"wait_s": 9.0, "fresh_since": 0.0})
    assert (given["name"], given["num_rounds"], given["lines"], given["chosen"].run.model) == ("2", 4, False, "/m")
    assert execute(["run", "--home", str(tmp_path)]) == 7
    assert (given["name"], given["num_rounds"], given["lines"]) == ("1", None, True)
    for command in ("create", "list", "show"):
        assert execute(["run", command, "--help"]) == 0
        assert f"swarm run {command}" in capsys.readouterr().out


def test_options_of_a_peer_before_a_command_about_runs_are_not_passed_over(capsys, tmp_path):
    code, body, _ = told(capsys, "run", "--home", str(tmp_path), "list", "--json")
    assert (code, body["error"]) == (2, "ConfigError")
    assert body["what"] == "Options before `list` are those of a peer: --home."
    assert "swarm run list" in body["next"]


def test_no_command_at_all_is_the_help_and_a_wrong_usage(capsys):
    assert execute([]) == 2
    assert " local " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["status", "--nope"], "No such option: --nope"),
        (["local", "--peers", "0"], "Invalid value for '--peers'"),
        (["local", "--rounds", "many"], "Invalid value for '--rounds'"),
        (["rounds", "0"], "Invalid value for 'count'"),
    ],
)
def test_a_wrong_command_line_is_an_error_like_any_other(capsys, arguments, what):
    code, body, err = told(capsys, *arguments, "--json")
    assert code == body["exit_code"] == 2
    assert body["what"].startswith(what)
    assert body["so_what"] == "Nothing was started."
    assert body["next"].startswith("See `swarm")
    assert err.startswith(f"error: {what}")


def test_a_defect_ends_with_1_a_traceback_a_sentence_and_json(capsys, monkeypatch):
    def broken(*_args, **_more):
        raise RuntimeError("loose screw")

    monkeypatch.setattr(root, "show", broken)
    code, body, err = told(capsys, "status", "--json")
    assert code == body["exit_code"] == 1
    assert (body["error"], body["what"]) == ("RuntimeError", "Unexpected RuntimeError: loose screw")
    assert err.startswith("Traceback")
    assert "error: Unexpected RuntimeError: loose screw" in err


@pytest.mark.parametrize(("error", "code"), [(NetworkError("a", "b", "c"), 4), (ChainError("a", "b", "c"), 5)])
def test_a_foreseen_failure_has_its_code_and_no_traceback(capsys, monkeypatch, error, code):
    def failing(*_args, **_more):
        raise error

    monkeypatch.setattr(root, "show", failing)
    assert execute(["peers"]) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: a\nb\nc\n")


def test_ctrl_c_and_a_closed_pipe_have_the_codes_of_their_signals(monkeypatch):
    for error, code in ((KeyboardInterrupt(), 130), (BrokenPipeError(), 141)):

        def ending(*_args, _error=error, **_more):
            raise _error

        monkeypatch.setattr(root, "show", ending)
        assert execute(["status"]) == code


def test_a_reader_that_has_seen_enough_is_no_accident(home):
    command = f"{sys.executable} -m swarm.cli rounds --home {home} --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == (b"{", b"")


def test_local_hands_its_options_to_host_and_peers(monkeypatch, tmp_path):
    given = {}

    def local(chosen, **options):
        given.update(options, chosen=chosen)
        return 6

    monkeypatch.setattr(root, "local", local)
    config = tmp_path / "c.yaml"
    config.write_text("game:\n  num_samples: 4\n")
    arguments = ["local", "--peers", "5", "--rounds", "2", "--no-tui", "--home", str(tmp_path), "--model", "/m"]
    assert execute([*arguments, "--task", "mix", "--seed", "9", "--config", str(config), "--json"]) == 6
    assert (given["num_peers"], given["num_rounds"], given["tui"], given["as_json"]) == (5, 2, False, True)
    assert given["host_options"] == [
        "--private", "--json", "--model", "/m", "--task", "mix", "--seed", "9", "--config", str(config),
        "--min-peers", "5",
    ]  # fmt: skip
    assert given["peer_options"] == ["--private", "--json", "--model", "/m", "--config", str(config)]
    chosen = given["chosen"]
    assert (chosen.home, chosen.run.seed, chosen.run.task, chosen.game.num_samples) == (tmp_path, 9, "mix", 4)


@pytest.fixture
def claimants(monkeypatch, tmp_path):
    """A home with three peers, whose claims are scripted: a dictionary of what each ends with."""
    outcomes = {}

    async def claim_for(_chosen, name, _token, _password, *, dry_run, as_json):
        assert (dry_run, as_json) in ((False, True), (True, True))
        if isinstance(outcomes[name], Exception):
            raise outcomes[name]
        return outcomes[name]

    async def find():
        return None

    monkeypatch.setitem(sys.modules, "swarm.app.claiming", types.SimpleNamespace(claim_for=claim_for))
    monkeypatch.setattr(root, "token_finder", lambda *_args, **_more: find)
    for name in ("1", "2", "3"):
        (tmp_path / "peers" / name).mkdir(parents=True)
        (tmp_path / "peers" / name / "swarm.pem").touch()
        outcomes[name] = {
            "nickname": f"peer-{name}", "peer_id": f"16U{name}", "address": "0x1", "claimed_now": 1.5, "balance": 2.0,
            "balance_wei": 2 * 10**18,
        }  # fmt: skip
    return tmp_path, outcomes


def test_claims_are_one_object_per_peer(capsys, claimants):
    home, outcomes = claimants
    assert told(capsys, "claim", "--home", str(home), "--json") == (0, {"claims": list(outcomes.values())}, "")
    assert told(capsys, "claim", "--home", str(home), "--peer", "2", "--json")[1] == {"claims": [outcomes["2"]]}


def test_one_peer_that_cannot_claim_does_not_keep_the_others_from_it(capsys, claimants):
    home, outcomes = claimants
    outcomes["2"] = IdentityError("It is running.", "It claims by itself.", "Stop it.")
    assert execute(["claim", "--home", str(home), "--json"]) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["nickname"] for row in lines[0]["claims"]] == ["peer-1", "peer-3"]
    assert lines[-1]["what"] == "It is running."


def test_a_home_without_peers_has_nothing_to_claim(capsys, tmp_path, claimants):
    code, body, _ = told(capsys, "claim", "--home", str(tmp_path / "other"), "--json")
    assert (code, body["so_what"]) == (2, "There is nothing to claim.")


# --- verify ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def examined(monkeypatch):
    """What the next examination comes to, and what was asked for."""
    from contextlib import nullcontext

    from swarm.app import verifying

    asked = []

    def comes_to(finding, level, difference=None, why=""):
        async def examine(chosen, find, round_number, name, wanted):
            asked.append((round_number, name, wanted))
            return Examined(7, "QmPeer", "calm-red-fox", "ab" * 32, finding, level, difference, 1.5, 4096, why)

        monkeypatch.setattr(verifying, "examine_in_swarm", examine)
        monkeypatch.setattr("swarm.processes.guardian.start_guardian", nullcontext)
        monkeypatch.setattr(root, "token_finder", lambda *_: None)
        return asked

    return comes_to


def test_a_verification_is_one_object_and_0(capsys, examined, tmp_path):
    asked = examined(Finding.MATCH, 2)
    code, body, err = told(capsys, "verify", "7", "calm-red-fox", "--home", str(tmp_path), "--json")
    assert code == 0
    assert asked == [(7, "calm-red-fox", 2)]
    assert body == {
        "round": 7, "peer": "QmPeer", "nickname": "calm-red-fox", "content": "ab" * 32, "verdict": "match", "level": 2,
        "first_difference": None, "time_s": 1.5, "bytes": 4096, "why": "",
    }  # fmt: skip
    assert err == "Contribution of calm-red-fox to round 7, checked at level 2: match.\n"


@pytest.mark.parametrize(("finding", "code"), [(Finding.MISMATCH, 6), (Finding.UNAVAILABLE, 4)])
def test_what_differs_or_cannot_be_had_has_its_own_code(capsys, examined, tmp_path, finding, code):
    examined(finding, 1, Difference("Token 3 is another.", Stage.CRITIQUE, 4, 5, 3))
    given, body, _ = told(capsys, "verify", "7", "QmPeer", "--level", "1", "--home", str(tmp_path), "--json")
    assert (given, body["verdict"]) == (code, finding)
    assert body["first_difference"] == {
        "what": "Token 3 is another.", "stage": "critique", "question": 4, "sample": 5, "position": 3, "chunk": None,
    }  # fmt: skip


def test_a_verification_in_words_says_how_far_it_went(capsys, examined, tmp_path):
    examined(Finding.MATCH, 0, why="Only scores were checked.")
    assert execute(["verify", "7", "QmPeer", "--home", str(tmp_path)]) == 0
    out, _ = capsys.readouterr()
    assert out == "Contribution of calm-red-fox to round 7, checked at level 0: match. Only scores were checked.\n"


@pytest.mark.parametrize(
    "arguments", [["verify", "0", "QmPeer"], ["verify", "1"], ["verify", "1", "QmPeer", "--level", "3"]]
)
def test_what_cannot_be_verified_is_wrong_usage(capsys, tmp_path, arguments):
    code, body, _ = told(capsys, *arguments, "--home", str(tmp_path), "--json")
    assert (code, body["error"]) == (2, "ConfigError")


def test_without_a_swarm_there_is_nothing_to_verify(capsys, tmp_path):
    code, body, _ = told(capsys, "verify", "1", "QmPeer", "--home", str(tmp_path), "--json")
    assert (code, body["error"]) == (2, "ConfigError")
