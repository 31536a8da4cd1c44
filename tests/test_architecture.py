"""The shape of the tree is a promise to readers, so it is tested like any other behaviour."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("protocol", "chain", "identity", "rewards", "verde", "swarm", "tui", "web")
OTHER_CODE = ("benchmarks", "docs", "models", "packaging", "tests")
MAX_LINES = 400

GENERATED = {"node_modules", "__pycache__", "build", ".venv", ".git"}
UNMIRRORED_TESTS = {"integration", "chaos", "golden", "snapshots", "__snapshots__"}
HEAVY = ("torch", "transformers", "hivemind", "web3")


def files(folder: str, *suffixes: str) -> list[Path]:
    found = (path for suffix in suffixes for path in (ROOT / folder).rglob(f"*{suffix}"))
    return sorted(path for path in found if not GENERATED & set(path.relative_to(ROOT).parts))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


MODULES = [path for folder in PACKAGES + OTHER_CODE for path in files(folder, ".py", ".sol")]
OURS = [path for path in MODULES if path.suffix == ".py" and path.relative_to(ROOT).parts[0] != "tests"]


def test_no_module_is_longer_than_a_person_reads_at_once():
    lengths = {shown(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_folder_is_a_drawer_for_leftovers():
    folders = {part for path in MODULES for part in path.relative_to(ROOT).parts[:-1]}
    assert folders & {"utils", "util", "helpers", "helper", "managers", "common", "misc"} == set()


def test_every_module_says_why_it_exists():
    silent = [shown(path) for path in OURS if path.read_text().strip() and not ast.get_docstring(parsed(path))]
    assert silent == []


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def test_tests_mirror_the_tree():
    sources = {path.parent.relative_to(ROOT) for path in MODULES} | {Path(name) for name in PACKAGES}
    for path in files("tests", ".py"):
        folder = path.parent.relative_to(ROOT / "tests")
        if folder != Path() and folder.parts[0] not in UNMIRRORED_TESTS and folder.name not in UNMIRRORED_TESTS:
            assert folder in sources, f"{shown(path)} mirrors no folder"


@pytest.mark.parametrize("folder", [name for name in PACKAGES if len(files(name, ".py")) > 1])
def test_every_package_has_tests(folder):
    assert [path for path in files(f"tests/{folder}", ".py") if path.name.startswith("test_")]


def imported_by(code: str) -> set[str]:
    """Top-level modules loaded after ``code`` ran in a fresh interpreter."""
    program = f"{code}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


HELP = """
from typer.testing import CliRunner
from swarm.cli import app
assert CliRunner().invoke(app, {}).exit_code == 0
"""


@pytest.mark.parametrize("arguments", [["--help"], ["local", "--help"], ["run", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    assert imported_by(HELP.format(arguments)) & {*HEAVY, "numpy", "textual"} == set()


@pytest.mark.parametrize("folder", ["tui", "web"])
def test_displays_load_no_part_of_the_peer(folder):
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files(folder, ".py")]
    code = "\n".join(f"import {name.removesuffix('.__init__')}" for name in names if not name.endswith("__main__"))
    assert imported_by(code) & set(HEAVY) == set()


def test_the_configuration_and_the_launcher_load_nothing_heavy():
    assert imported_by("import swarm.settings.config, swarm.app, protocol.run, swarm.observe") & set(HEAVY) == set()


def test_the_distribution_ships_exactly_our_packages():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    assert sorted(patterns) == sorted(f"{name}*" for name in PACKAGES)
    matched = {path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name.startswith(PACKAGES)}
    assert matched <= set(PACKAGES)
    assert set(settings["tool"]["importlinter"]["root_packages"]) == set(PACKAGES)


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


# Spelled in two parts, so that this file is no finding of its own.
FOREIGN = [
    ("/wo" + "rk/main", "a machine's path"),
    ("/wo" + "rk/shared", "a machine's path"),
    ("/ro" + "ot/", "a machine's path"),
    ("/opt/" + "wheels", "a machine's path"),
    ("/opt/" + "pypi", "a machine's path"),
    ("registry." + "npmjs.org", "a registry's host"),
    ("files." + "pythonhosted.org", "a registry's host"),
    ("pypi." + "org/simple", "a registry's host"),
    ("download." + "pytorch.org", "a registry's host"),
]


def test_no_tracked_file_names_a_machine_or_a_registry():
    findings = []
    for path in tracked():
        content = path.read_bytes()
        findings += [f"{shown(path)}: {what} ({text})" for text, what in FOREIGN if text.encode() in content]
    assert findings == []


def test_nothing_generated_is_tracked():
    assert [shown(path) for path in tracked() if GENERATED & set(path.relative_to(ROOT).parts)] == []


def test_links_between_documents_lead_somewhere():
    dead = []
    for path in [*ROOT.glob("*.md"), *files("docs", ".md"), *files("configs", ".md"), *files("models", ".md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            if "://" not in target and not (path.parent / unquote(target)).exists():
                dead.append(f"{shown(path)}: {target}")
    assert dead == []


def test_the_readme_lists_every_folder_of_the_tree():
    listed = set(re.findall(r"^(\w+)/ +\S", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert listed == {path.relative_to(ROOT).parts[0] for path in tracked() if path.parent != ROOT} - {".ci"}
