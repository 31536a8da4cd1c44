"""The generated pages are what the program says now; links and tables in them are whole."""

import re

import pytest
from typer.main import get_command

from docs import reference
from swarm.cli import app
from swarm.observe.metrics import METRICS
from swarm.settings.config import known_keys


def test_no_page_is_stale():
    assert reference.stale() == [], "run `python -m docs.reference` and commit what it writes"


def test_a_page_that_was_changed_is_found_and_made_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    (tmp_path / "commands.md").write_text("# Commands\n")
    assert reference.main(["--check"]) == 1
    assert "docs/commands.md is stale" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.stale() == []


def test_every_setting_command_option_and_metric_is_listed_once():
    page = reference.configuration()
    for key in known_keys():
        assert page.count(f"| `{key}` |") == 1, key
    commands = reference.commands()
    for name, command in get_command(app).commands.items():
        if not command.hidden:
            assert f"\n## swarm {name}\n" in commands
    assert "\n## swarm run create\n" in commands
    for one in METRICS:
        assert reference.metrics().count(f"| `{one.name}` |") == 1


def test_what_is_hidden_stays_hidden():
    commands = reference.commands()
    assert "--fresh-since" not in commands
    assert "--kept" not in commands


@pytest.mark.parametrize("make", reference.PAGES.values(), ids=reference.PAGES)
def test_tables_have_as_many_cells_in_every_row_as_in_their_head(make):
    width = 0
    for line in make().splitlines():
        cells = len(re.split(r"(?<!\\)\|", line))
        if not line.startswith("|"):
            width = 0
        elif not width:
            width = cells
        assert not width or cells == width, line
