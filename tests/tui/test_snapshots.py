"""Every screen in both sizes, with empty, busy and degraded data, as pictures that are compared.

One run of the dashboard shows all screens one after the other, so that the pictures cost little.
"""

import pytest
from syrupy.extensions.image import SVGImageSnapshotExtension

from tests.tui import stage
from tests.tui.stage import press
from tui.screens import SCREENS

SIZES = {"compact": (80, 24), "full": (120, 36)}

SCROLLED = {"disputes", "logs"}
"""Screens whose scroll bars end an eighth of a line earlier or later, as the layout was measured: compared without."""


@pytest.fixture
def picture(snapshot):
    """Equal to what was stored under a name."""
    return snapshot.use_extension(SVGImageSnapshotExtension)


def drawn(app):
    """The screen as it is, without the number that tells one picture's styles from another's on a web page."""
    return app.export_screenshot(title="")


async def without_scroll_bars(pilot):
    """The same layout, with empty columns where the bars were."""
    for widget in pilot.app.screen.query("*"):
        widget.styles.scrollbar_visibility = "hidden"
    await stage.settled(pilot)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["empty", "busy", "degraded"])
async def test_screens(picture, tmp_path, kind, size):
    now = stage.home(tmp_path, kind)
    app = stage.dashboard(tmp_path, now, dead=40_002 if kind == "degraded" else -1)
    changed = []
    async with app.run_test(size=SIZES[size]) as pilot:
        await stage.settled(pilot)
        for number, screen in enumerate(SCREENS, start=1):
            keys = {"round": ["left"], "peers": ["down"], "rollouts": ["v", "v"]}.get(screen.NAME, [])
            await press(pilot, str(number), *keys)
            if screen.NAME in SCROLLED:
                await without_scroll_bars(pilot)
            if drawn(app) != picture(name=screen.NAME):
                changed.append(screen.NAME)
    assert changed == []


@pytest.mark.asyncio
async def test_the_first_seconds_of_a_swarm(picture, tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "starting"))
    async with app.run_test(size=(80, 24)) as pilot:
        await stage.settled(pilot)
        assert drawn(app) == picture


@pytest.mark.asyncio
async def test_a_large_terminal_in_light_colours(picture, tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "busy"), dark=False)
    async with app.run_test(size=(200, 50)) as pilot:
        await stage.settled(pilot)
        assert drawn(app) == picture(name="overview")
        await press(pilot, "4")
        assert drawn(app) == picture(name="rollouts")
        await press(pilot, "question_mark")
        assert drawn(app) == picture(name="help")


@pytest.mark.asyncio
async def test_sixteen_colours_and_no_unicode(picture, tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "degraded"), color_system="standard", unicode=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await stage.settled(pilot)
        assert drawn(app) == picture(name="overview")


@pytest.mark.asyncio
async def test_a_recording(picture, tmp_path):
    from tui.playing import Player

    stage.home(tmp_path, "busy")
    player = lambda: Player(tmp_path, 7, playing=False, real=lambda: 0.0)  # noqa: E731
    app = stage.dashboard(tmp_path, 0.0, player=player, outbox=None)
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        assert drawn(app) == picture
