import errno
import json

import pytest

from protocol.errors import (
    BadRecord,
    ChainError,
    ChainUnreachable,
    ConfigError,
    IdentityError,
    NetworkError,
    SwarmError,
    VerificationError,
)
from swarm.failures import from_json, in_words, report

LEAVES = [ConfigError, IdentityError, NetworkError, ChainError, ChainUnreachable, VerificationError]


@pytest.mark.parametrize(("kind", "code"), zip(LEAVES, [2, 3, 4, 5, 4, 6], strict=True))
def test_a_foreseen_failure_is_three_lines_and_its_code(capsys, kind, code):
    assert report(kind("The lamp is out.", "It is dark.", "Light it.")) == code
    out, err = capsys.readouterr()
    assert err == "error: The lamp is out.\nIt is dark.\nLight it.\n"
    assert out == ""


def test_as_json_it_is_the_last_line_of_stdout_too(capsys):
    report(ChainUnreachable("Nobody answers.", "Nothing is lost.", "Wait."), as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1]) == {
        "error": "ChainUnreachable",
        "exit_code": 4,
        "what": "Nobody answers.",
        "so_what": "Nothing is lost.",
        "next": "Wait.",
    }
    assert err.startswith("error: Nobody answers.")


def test_an_unforeseen_failure_shows_a_traceback_then_a_sentence(capsys):
    try:
        {}["lamp"]
    except KeyError as error:
        code = report(error, as_json=True)
    out, err = capsys.readouterr()
    assert code == 1
    assert err.startswith("Traceback")
    assert err.splitlines()[-3] == "error: Unexpected KeyError: 'lamp'"
    assert "defect of the program" in err.splitlines()[-1]
    told = json.loads(out)
    assert (told["error"], told["exit_code"], told["what"]) == ("KeyError", 1, "Unexpected KeyError: 'lamp'")
    assert "Traceback" not in out


def test_a_foreseen_failure_never_shows_a_traceback_even_with_code_one(capsys):
    assert report(SwarmError("Odd.", "So.", "Then.")) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_cannot_be_written_is_no_defect(number):
    told = in_words(OSError(number, "No luck", "/home/x/state"))
    assert isinstance(told, ConfigError)
    assert told.what == "/home/x/state cannot be used: No luck."
    assert told.so_what
    assert told.next_step


def test_other_errors_of_files_are_defects():
    assert type(in_words(FileNotFoundError(errno.ENOENT, "No such file", "/x"))) is SwarmError
    assert type(in_words(OSError("no number at all"))) is SwarmError


@pytest.mark.parametrize("kind", LEAVES)
def test_what_was_told_is_read_back_as_the_same_class(capsys, kind):
    report(kind("a", "b", "c"), as_json=True)
    back = from_json(capsys.readouterr().out.strip())
    assert type(back) is kind
    assert (back.what, back.so_what, back.next_step) == ("a", "b", "c")


def test_a_class_that_only_one_part_knows_is_read_back_by_its_exit_code():
    line = json.dumps({"error": "RpcRefused", "exit_code": 5, "what": "a", "so_what": "", "next": ""})
    assert type(from_json(line)) is ChainError
    assert type(from_json(line.replace("5", "99"))) is SwarmError
    assert type(from_json(line.replace("5", "1").replace("RpcRefused", "BadRecord"))) is SwarmError
    assert not isinstance(from_json(line), BadRecord)


@pytest.mark.parametrize(
    "line",
    ["", "Traceback", "{", "[1]", "{}", '{"token": "swarm1-x"}', '{"error": "ConfigError", "what": "x"}', "{" * 20_000],
)
def test_any_other_line_is_no_failure(line):
    assert from_json(line) is None
