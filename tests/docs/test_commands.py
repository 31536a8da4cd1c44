"""Every command in the documents is one that works: all are parsed, what only reads is run, files that they name exist.

Those that play whole rounds are run by tests/integration/test_operations.py.
"""

import re
import shlex
from pathlib import Path

import pytest

from swarm.cli import execute
from swarm.settings.config import CONFIGS
from tests.command_lines import is_built, refusal
from tests.swarm.observe import playback

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "configs" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDERS = {
    "TOKEN": "swarm1-x",
    "PEERID": "QmX",
    "ROUND": "1",
    "PEER": "1",
    "RUN": "trial",
    "N": "3",
    "AMOUNT": "1",
    "…": "x",
    "PATH_OR_NAME": "./m",
}
READING = {"status", "rounds", "peers", "credits", "outbox", "health"}
"""Commands that only read a home."""


def lines():
    """(page, command) of every line in a block of shell."""
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                command = re.sub(r"\s+#.*$", "", line).strip()
                if command and not command.startswith("#"):
                    yield page.name, command


def mentions():
    """(page, command) of commands of ours within text."""
    for page in PAGES:
        for command in re.findall(r"`((?:\./run_swarm\.sh|swarm) [a-z-][^`]*)`", page.read_text()):
            yield page.name, command


LINES = sorted(set(lines()))
MENTIONS = sorted(set(mentions()) - set(LINES))


def ours(command):
    """The arguments of `swarm`, from a command as people type it; ``None`` for other programs."""
    flat = re.sub(r"[\[\]]", "", command)  # what is optional is given
    words = [PLACEHOLDERS.get(word, word.partition("|")[0]) for word in shlex.split(flat)]
    if words[0] not in ("./run_swarm.sh", "swarm"):
        return None
    arguments = words[1:]
    is_swarm = words[0] == "./run_swarm.sh" and (not arguments or arguments[0].startswith("-"))
    return ["local", *arguments] if is_swarm and arguments != ["--help"] else arguments


def test_there_are_documents_with_commands():
    assert len(LINES) > 50
    assert {page for page, _ in LINES} >= {"README.md", "tutorial.md", "join.md", "hosting.md", "operations.md"}


@pytest.mark.parametrize(("page", "command"), LINES + MENTIONS)
def test_every_command_of_ours_is_one_that_swarm_takes(page, command):
    arguments = ours(command)
    if arguments is None or "COMMAND" in command:
        return
    if arguments[:1] == ["test"]:
        assert all((ROOT / word).exists() for word in arguments[1:] if word.startswith("tests/")), command
        return
    if not is_built(arguments[0]) and arguments[0] in ("leaderboard", "top", "replay", "identity", "export"):
        pytest.skip(f"this version has no {arguments[0]}")
    told = refusal(arguments)
    if (page, command) in MENTIONS:
        told = "" if told.startswith("Missing") else told  # within a sentence a command may stand without its arguments
    assert told == "", f"{page}: {command}"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    playback.write(home, num_rounds=3)
    return home


@pytest.mark.parametrize(
    "command",
    sorted({command for _, command in LINES if (ours(command) or [""])[0] in READING and "--config" not in command}),
)
def test_what_only_reads_is_run(command, home, capsys):
    arguments = ours(command)
    if "--host" in arguments:
        assert execute([*arguments, "--home", str(home)]) == 2, "nobody hosted here"
        return
    assert execute([*arguments, "--home", str(home)]) == (4 if arguments[0] == "health" else 0)
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", sorted({" ".join(ours(command)[:1]) for _, command in LINES if ours(command)}))
def test_every_command_that_is_named_helps(command, capsys):
    if command == "test" or (command == "leaderboard" and not is_built(command)):
        return
    words = [] if command == "--help" else [command]
    assert execute([*words, "--help"]) == 0
    assert "Usage: swarm" in capsys.readouterr().out


@pytest.mark.parametrize(("page", "command"), [one for one in LINES if ours(one[1]) is None])
def test_commands_of_others_name_files_units_and_services_that_exist(page, command):
    words = [word for word in shlex.split(command) if word != "sudo"]
    program = words[0]
    assert program in {"cp", "systemctl", "systemd-sysusers", "journalctl", "docker", "python", "kill", "chmod"}, (
        command
    )
    for word in words[1:]:
        if word.startswith(("packaging/", "configs/", "docs/")):
            assert list(ROOT.glob(word)), f"{page}: {word}"
        if word.startswith("rl-swarm") and program in ("systemctl", "journalctl"):
            unit = re.sub(r"@\w+$", "@", word)
            assert (ROOT / "packaging" / "systemd" / f"{unit}.service").is_file(), word
        if program == "python" and word.startswith("benchmarks."):
            assert (ROOT / f"{word.replace('.', '/')}.py").is_file(), word
    if words[:2] == ["docker", "run"]:
        assert refusal([PLACEHOLDERS.get(word, word) for word in words[words.index("rl-swarm") + 1 :]]) == ""


def test_settings_in_examples_are_settings_that_exist(tmp_path):
    from protocol.errors import ConfigError
    from swarm.settings.config import load_settings

    num_read = 0
    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            if block.startswith("scrape_configs"):
                continue
            file = tmp_path / "example.yaml"
            file.write_text(block)
            try:
                load_settings("join", file)
            except ConfigError as error:
                raise AssertionError(f"{page.name}: {error.what}") from error
            num_read += 1
    assert num_read >= 4
    assert (CONFIGS / "tasks" / "base_conversion.yaml").is_file()
