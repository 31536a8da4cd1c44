"""The first five minutes: set-up finds a Python, says what is wrong in words, and is repeatable."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "run_swarm.sh"


def load_setup():
    spec = importlib.util.spec_from_file_location("setup_env", ROOT / "packaging" / "setup_env.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what set-up needs, in a folder with a space."""
    root = tmp_path / "a clone"
    (root / "packaging" / "pycosat").mkdir(parents=True)
    (root / "chain").mkdir()
    for name in ("run_swarm.sh", "packaging/setup_env.py", *load_setup().INPUTS):
        shutil.copy2(ROOT / name, root / name)
    return root


def pretend_ready(root: Path) -> None:
    """The environment as set-up leaves it, with a `swarm` that prints what it was called with."""
    binaries = root / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    swarm = binaries / "swarm"
    swarm.write_text('#!/bin/sh\nfor argument in "$@"; do printf "<%s>" "$argument"; done\n')
    swarm.chmod(0o755)
    stamp = subprocess.run(
        [sys.executable, "-I", "-c", "import runpy, sys; print(runpy.run_path(sys.argv[1])['wanted_state']())",
         root / "packaging" / "setup_env.py"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (root / ".venv" / "ready").write_text(stamp.stdout.strip())


def run(script: Path, *arguments: str, path: str | None = None, cwd: Path | None = None, **variables: str):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PATH": path or os.environ["PATH"]} | variables
    return subprocess.run(
        [script, *arguments], capture_output=True, text=True, env=environment, cwd=cwd, timeout=60, check=False
    )


def tools(folder: Path, *names: str) -> str:
    """A PATH with only these tools."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name))
    return str(folder)


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        ([], "<local>"),
        (["--rounds", "3", "--json"], "<local><--rounds><3><--json>"),
        (["status", "--json"], "<status><--json>"),
        (["run", "--join", "a b"], "<run><--join><a b>"),
    ],
)
def test_options_go_to_the_private_swarm_and_words_to_the_command(clone, arguments, called):
    pretend_ready(clone)
    done = run(clone / "run_swarm.sh", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, called, "")


def test_it_works_from_another_folder_and_through_a_symlink(clone, tmp_path):
    pretend_ready(clone)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "first").symlink_to(clone / "run_swarm.sh")
    (tmp_path / "bin" / "swarm-here").symlink_to("first")
    done = run(tmp_path / "bin" / "swarm-here", "peers", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "<peers>")


def test_a_ready_environment_needs_no_other_python_and_no_tools(clone, tmp_path):
    pretend_ready(clone)
    done = run(clone / "run_swarm.sh", "peers", path=tools(tmp_path / "few", "dirname", "sh"))
    assert (done.returncode, done.stdout) == (0, "<peers>")


def test_without_a_fitting_python_it_says_which_are(clone, tmp_path):
    done = run(clone / "run_swarm.sh", path=tools(tmp_path / "few", "dirname", "sh"))
    assert done.returncode == 2
    assert "No Python 3.11, 3.12 or 3.13 was found" in done.stderr
    assert "SWARM_PYTHON=" in done.stderr
    assert done.stdout == ""


def test_a_chosen_python_that_does_not_fit_is_named(clone, tmp_path):
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for chosen in (str(old), "no-such-python"):
        done = run(clone / "run_swarm.sh", SWARM_PYTHON=chosen)
        assert done.returncode == 2
        assert f"SWARM_PYTHON={chosen} is not a working Python 3.11, 3.12 or 3.13" in done.stderr


def in_setup(root: Path, *changes: str):
    """Runs set-up of ``root`` with ``changes`` made to its module first, as another machine would be."""
    program = "\n".join(
        ["import sys, types; module = types.ModuleType('setup_env')",
         f"module.__file__ = {str(root / 'packaging' / 'setup_env.py')!r}",
         "exec(compile(open(module.__file__).read(), module.__file__, 'exec'), module.__dict__)",
         *changes, "module.main()"]
    )  # fmt: skip
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("system", "machine", "libc"),
    [("Windows", "AMD64", ""), ("Darwin", "x86_64", ""), ("Linux", "armv7l", "glibc"), ("Linux", "x86_64", "")],
)
def test_an_unsupported_platform_is_told_which_are_supported(clone, system, machine, libc):
    done = in_setup(
        clone,
        f"module.platform.system = lambda: {system!r}; module.platform.machine = lambda: {machine!r}",
        f"module.platform.libc_ver = lambda: ({libc!r}, '2.36')",
    )
    assert done.returncode == 2
    assert f"This machine is not supported: cpython on {system} {machine.lower()}" in done.stderr
    assert "Supported: Linux (x86_64, arm64) with glibc 2.35 or newer, macOS 14" in done.stderr
    assert not (clone / ".venv").exists()


def test_a_system_too_old_is_told_so(clone):
    done = in_setup(clone, "module.platform.libc_ver = lambda: ('glibc', '2.31')")
    assert done.returncode == 2
    assert "glibc 2.31" in done.stderr


def test_too_little_disk_space_says_how_much_is_needed(clone):
    done = in_setup(clone, "module.shutil.disk_usage = lambda path: types.SimpleNamespace(free=1_500_000_000)")
    assert done.returncode == 2
    assert "1.5 GB are free" in done.stderr
    assert re.search(r"needs \d GB there", done.stderr)
    assert not (clone / ".venv").exists()


def test_a_python_without_venv_names_the_package_that_has_it(clone):
    done = in_setup(clone, "sys.modules['ensurepip'] = None")
    assert done.returncode == 2
    assert "it has no module ensurepip" in done.stderr
    assert "python{}.{}-venv".format(*sys.version_info[:2]) in done.stderr


FAKE_STEP = "module.run_step = lambda what, command, lock, expected=0: module.steps.append(what)"


def steps_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [step.split()[0] for step in ast.literal_eval(done.stdout)]


def test_set_up_runs_its_steps_once_and_the_next_run_none(clone):
    first = in_setup(clone, "module.steps = []", FAKE_STEP, "module.start = lambda rest: print(module.steps)")
    assert first.returncode == 0
    assert steps_of(first) == ["Making", "Installing", "Compiling", "Getting", "Compiling"]
    (clone / ".venv" / "bin").mkdir()
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)
    second = in_setup(clone, "module.steps = []", FAKE_STEP, "module.start = lambda rest: print(module.steps)")
    assert (second.returncode, second.stdout, second.stderr) == (0, "[]\n", "")


def test_a_changed_pin_sets_up_again_without_making_the_environment_anew(clone):
    pretend_ready(clone)
    kept = clone / ".venv" / "kept"
    kept.touch()
    with (clone / "constraints.txt").open("a") as constraints:
        constraints.write("# changed\n")
    done = in_setup(clone, "module.steps = []", FAKE_STEP, "module.start = lambda rest: print(module.steps)")
    assert steps_of(done) == ["Installing", "Compiling", "Getting", "Compiling"]
    assert kept.exists()


@pytest.mark.parametrize("breaking", ["interrupted", "moved", "no python"])
def test_an_environment_that_cannot_be_trusted_is_made_anew(clone, breaking):
    pretend_ready(clone)
    leftover = clone / ".venv" / "leftover"
    leftover.touch()
    if breaking == "interrupted":
        (clone / ".venv" / "unfinished").touch()
    elif breaking == "moved":
        clone = clone.rename(clone.parent / "moved clone")
        leftover = clone / ".venv" / "leftover"
        (clone / ".venv" / "bin" / "pip").write_text("#!/somewhere/else/.venv/bin/python\n")
    else:
        (clone / ".venv" / "bin" / "python").unlink()
    done = in_setup(clone, "module.steps = []", FAKE_STEP, "module.start = lambda rest: print(module.steps)")
    assert done.returncode == 0
    assert "making it anew" in done.stderr
    assert steps_of(done) == ["Making", "Installing", "Compiling", "Getting", "Compiling"]
    assert not leftover.exists()


def test_a_failed_step_leaves_the_mark_that_the_next_run_repairs_by(clone):
    failing = "module.run_step = lambda *a, **k: (_ for _ in ()).throw(module.explain('Installing', ['boom'], 1))"
    done = in_setup(clone, failing)
    assert done.returncode == 1
    assert "boom" in done.stderr
    assert (clone / ".venv" / "unfinished").exists()
    assert not (clone / ".venv" / "ready").exists()


@pytest.mark.parametrize(
    ("output", "code", "exit_code", "words"),
    [
        (["OSError: [Errno 28] No space left on device"], 1, 2, "Too little disk space"),
        (["WARNING: Retrying after NewConnectionError('…')", "ERROR: none found"], 1, 4, "cannot be reached"),
        (["ReadTimeoutError: Read timed out."], 2, 4, "cannot be reached"),
        (["npm error code ENOTFOUND"], 1, 4, "cannot be reached"),
        (["no route to the package index"], 4, 4, "cannot be reached"),
        (["ERROR: something else"], 1, 1, "something else"),
    ],
)
def test_a_failed_step_is_explained_from_what_it_printed(output, code, exit_code, words):
    error = load_setup().explain("Installing packages", output, code)
    assert error.exit_code == exit_code
    assert words in str(error)
    assert "again" in str(error)


def test_a_step_is_logged_and_its_progress_shown(clone):
    setup = "module.VENV.mkdir(); module.start = lambda rest: None; module.is_ready = lambda: True"
    step = "module.run_step('Installing', ['/bin/sh', '-c', 'echo Collecting one; echo two >&2'], 0, 5)"
    done = in_setup(clone, setup, step)
    assert done.returncode == 0, done.stderr
    assert (clone / ".venv" / "setup.log").read_text().split() == ["Collecting", "one", "two"]
    assert "Installing …" in done.stderr
    assert done.stdout == ""


def test_two_set_ups_in_one_folder_take_turns(clone):
    holder = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print(flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", holder + "; sys.stdin.read()", clone], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        first.stdout.readline()
        second = subprocess.Popen(
            [sys.executable, clone / "packaging" / "setup_env.py"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        said = second.stderr.readline().decode()
        assert "Another set-up is under way" in said
        assert second.poll() is None
        second.terminate()
        reader = threading.Thread(target=second.stderr.read)
        reader.start()
        assert second.wait(timeout=20) == 143
        reader.join()
        first.stdin.close()


def test_the_script_stays_short():
    assert len(SCRIPT.read_text().splitlines()) <= 40


BROUGHT_BY_TORCH = re.compile(r"^(nvidia-|cuda-|triton$)")


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def needed() -> dict[str, str]:
    """Version of everything that our requirements bring in here, directly or not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    open_ends = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    found: dict[str, str] = {}
    while open_ends:
        requirement = Requirement(open_ends.pop())
        name = normal(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            distribution = importlib.metadata.distribution(name)
            found[name] = distribution.version.partition("+")[0]
            open_ends += distribution.requires or []
    return found


def test_everything_that_we_need_is_pinned_to_what_is_installed():
    pinned = {normal(name): version for name, version in pins().items()}
    installed = {name: version for name, version in needed().items() if not BROUGHT_BY_TORCH.match(name)}
    assert {name: pinned.get(name) for name in installed} == installed


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_pins_are_sorted_and_say_one_version_each():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert list(pins()) == sorted(pins(), key=str.lower)
    assert len(lines) == len(pins()) == len({normal(name) for name in pins()})
