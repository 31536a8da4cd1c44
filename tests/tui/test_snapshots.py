import pytest

from tests.tui import stage

SIZES = {"compact": (80, 24), "full": (120, 36)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["empty", "starting", "busy", "degraded"])
def test_overview(snap_compare, tmp_path, kind, size):
    now = stage.home(tmp_path, kind)
    app = stage.dashboard(tmp_path, now, dead=40_002 if kind == "degraded" else -1)
    assert snap_compare(app, terminal_size=SIZES[size], run_before=stage.settled)


def test_overview_on_a_large_terminal(snap_compare, tmp_path):
    now = stage.home(tmp_path, "busy")
    assert snap_compare(stage.dashboard(tmp_path, now), terminal_size=(200, 50), run_before=stage.settled)


def test_overview_in_light_colours(snap_compare, tmp_path):
    async def light(pilot):
        await stage.settled(pilot)
        await pilot.press("d")

    now = stage.home(tmp_path, "busy")
    assert snap_compare(stage.dashboard(tmp_path, now), terminal_size=(120, 36), run_before=light)


def test_a_peer_that_died_is_shown_as_such(snap_compare, tmp_path):
    async def third(pilot):
        await stage.settled(pilot)
        await pilot.press("3")

    now = stage.home(tmp_path, "degraded")
    app = stage.dashboard(tmp_path, now, dead=40_002)
    assert snap_compare(app, terminal_size=(120, 36), run_before=third)


def test_help_explains_every_number(snap_compare, tmp_path):
    async def ask(pilot):
        await stage.settled(pilot)
        await pilot.press("question_mark")
        await pilot.pause()

    now = stage.home(tmp_path, "busy")
    assert snap_compare(stage.dashboard(tmp_path, now), terminal_size=(120, 36), run_before=ask)
