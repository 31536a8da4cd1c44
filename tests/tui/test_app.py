import shutil

import pytest

from protocol.events import Problem, Recovered
from swarm.observe.eventlog import EventLog
from tests.swarm.observe import disputed, playback
from tests.swarm.observe.playback import START_AT
from tests.swarm.observe.quarrel import game_id
from tests.tui import stage
from tests.tui.stage import press, text_of, until
from tui.app import SwarmDashboard
from tui.playing import Player
from tui.screens import SCREENS
from tui.screens.help import Help
from tui.widgets.filter_line import FilterLine
from tui.widgets.listing import Listing


@pytest.mark.asyncio
async def test_number_keys_show_the_screens_and_tab_the_peers(tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "busy"))
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        for number, kind in enumerate(SCREENS, start=1):
            await press(pilot, str(number))
            assert app.current_mode == kind.NAME
            shown = []
            for key in ("tab", "tab", "tab", "shift+tab", "tab"):
                await press(pilot, key)
                shown.append(app.selected)
            assert shown == [1, 2, 0, 2, 0]
            assert app.is_running


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_quitting_tells_the_launcher_once(tmp_path, key):
    told = []
    app = stage.dashboard(tmp_path, START_AT, on_quit=lambda: told.append("quit"))
    async with app.run_test() as pilot:
        await stage.settled(pilot)
        await pilot.press(key)
    assert told == ["quit"]
    assert app.return_code == 0


@pytest.mark.asyncio
async def test_help_explains_the_present_screen_and_closes_without_quitting(tmp_path):
    app = stage.dashboard(tmp_path, START_AT)
    async with app.run_test(size=(120, 60)) as pilot:
        await stage.settled(pilot)
        for number, (kind, close) in enumerate(
            zip(SCREENS, ("?", "q", "escape", "enter", "?", "q", "escape"), strict=True)
        ):
            await press(pilot, str(number + 1), "question_mark")
            assert isinstance(app.screen, Help)
            text = text_of(app)
            for _, words in kind.WORDS[:1]:
                assert all(word in text for word, _ in words), kind.NAME
            await pilot.press("question_mark" if close == "?" else close)
            await pilot.pause()
            assert not isinstance(app.screen, Help)
        assert app.is_running


@pytest.mark.asyncio
async def test_the_keys_of_the_round_screen(tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "busy"))
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        await press(pilot, "2")
        assert "Round 12 of 1 to 12" in text_of(app)
        await press(pilot, "left")
        assert "Round 11 of 1 to 12" in text_of(app)
        assert "waits until its epoch is final" in text_of(app)
        await press(pilot, "down")
        assert "missing settled: one more result, before which a spot-check can strike it" in text_of(app)
        await press(pilot, "h", "right", "l", "right")
        assert "Round 12 of 1 to 12" in text_of(app)
        await press(pilot, *["left"] * 13)
        assert "Round 1 of 1 to 12" in text_of(app)
        assert "all the way: its tokens are in the wallet" in text_of(app)
        await press(pilot, "end")
        assert "Round 12 of 1 to 12" in text_of(app)


@pytest.mark.asyncio
async def test_the_keys_of_the_peers_screen(tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "degraded"))
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        await press(pilot, "3")
        screen, table = app.shown_screen, app.screen.query_one("#table", Listing)
        assert [peer.me for peer in screen._shown][:2] == [True, False]
        columns = []
        for _ in range(8):
            await press(pilot, "s")
            columns.append(screen.column)
        assert columns == ["name", "doing", "heard", "work", "checks", "dropped", "score", "credits"]
        await press(pilot, "s")
        assert [peer.nickname for peer in screen._shown] == sorted(peer.nickname for peer in screen._shown)
        await press(pilot, "r")
        assert [peer.nickname for peer in screen._shown] == sorted((p.nickname for p in screen._shown), reverse=True)
        await press(pilot, "s", "s", "s", "s", "s", "home", "end", "up", "pagedown", "j", "k")
        assert screen.column == "dropped"
        await press(pilot, "slash", *"SEAL")
        assert [peer.nickname for peer in screen._shown] == ["limber-steady-seal"]
        await press(pilot, "enter")
        assert "dropped: 1 oversized" in text_of(app)
        assert app.focused is table
        await press(pilot, "slash", "escape")
        assert len(screen._shown) == 4
        assert not app.screen.query_one(FilterLine).display


@pytest.mark.asyncio
async def test_the_keys_of_the_rollouts_screen(tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "busy"))
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        await press(pilot, "4")
        text = text_of(app)
        assert "Question of round 11" in text
        assert "picked by A B C" in text
        assert "55 is not yes" in text
        await press(pilot, "left")
        assert "Question of round 10" in text_of(app)
        await press(pilot, "v")
        assert "view: by peer" in text_of(app)
        await press(pilot, "v", "h", "l", "right")
        assert "view: critiques" in text_of(app)
        assert "Question of round 11" in text_of(app)
        await press(pilot, "down", "up", "pagedown", "pageup", *["left"] * 20)
        assert "Question of round 1 " in text_of(app)
        await press(pilot, "end", "v")
        assert "Question of round 11" in text_of(app)
        assert "view: by stage" in text_of(app)


@pytest.mark.asyncio
async def test_the_keys_of_wallet_disputes_and_logs(tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "degraded"))
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        await press(pilot, "5", "down", "up", "pagedown", "home")
        assert "the epoch is locked for 12 s more" in text_of(app)
        await press(pilot, "6")
        assert "your turn" in text_of(app)
        assert f"Dispute {game_id(9)[:8]}: rollout 3 of round 11" in text_of(app)
        await press(pilot, "down")
        assert "the challenger wins: the contract has computed it" in text_of(app)
        await press(pilot, "up", "7")
        assert "all 3 peers" in text_of(app)
        await press(pilot, "a")
        assert "this peer" in text_of(app)
        await press(pilot, "p")
        assert "Problems" in text_of(app)
        assert "No RPC endpoint answers" in text_of(app)
        await press(pilot, "slash", *"struck", "enter")
        assert app.shown_screen.query_one("#lines", Listing).border_subtitle == "1 lines, this peer"
        await press(pilot, "slash", "escape", "p", "up", "home")
        assert "started as" in text_of(app)
        await press(pilot, "end")
        assert "No RPC endpoint answers" in text_of(app)


@pytest.mark.asyncio
async def test_who_signed_twice_stands_below_the_games_with_what_it_cost(tmp_path):
    now = stage.home(tmp_path, "degraded")
    reporter = playback.address(0)  # this peer's wallet
    with EventLog(tmp_path / "peers" / "peer-1" / "events.jsonl", now=lambda: now) as log:
        log.append(disputed.proven(reporter=reporter))
    app = stage.dashboard(tmp_path, now)
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        await press(pilot, "6", "down", "down")
        told = text_of(app)
        assert "proven by both signatures, 25.00 taken" in told
        assert "you reported it" in told
        assert "Equivocation 5e5e5e5e: two contributions for round 6" in told
        assert f"reporter {reporter}" in told
        assert "25 tokens of stake taken: 12.5 to the reporter, 12.5 burned" in told
        assert f"transaction 0x{'5e' * 32}" in told
        await press(pilot, "up")
        assert "the challenger wins: the contract has computed it" in text_of(app)


@pytest.mark.asyncio
async def test_lines_follow_until_somebody_scrolls(tmp_path):
    now = stage.home(tmp_path, "busy")
    app = stage.dashboard(tmp_path, now)
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        await press(pilot, "7")
        with EventLog(tmp_path / "peers" / "peer-1" / "events.jsonl", now=lambda: now) as log:
            log.append(Problem("E", "The first.", "", ""))
            await until(pilot, lambda: "problem: The first." in text_of(app))
            await press(pilot, "pageup")
            log.append(Problem("E", "The second.", "", ""))
            await until(pilot, lambda: app.peers[0].problem.what == "The second.")
            await stage.settled(pilot)
            assert "problem: The second." not in text_of(app)
            await press(pilot, "end")
            assert "problem: The second." in text_of(app)


@pytest.mark.asyncio
async def test_the_palette_finds_screens_and_peers(tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "busy"))
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        await pilot.press("ctrl+p")
        await pilot.pause()
        await pilot.press(*"disputes")
        await until(pilot, lambda: "Show disputes" in text_of(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.current_mode == "disputes" and app.screen is app.shown_screen)
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert {"Show overview", "Peer limber-steady-seal", "Dark or light", "Save a picture", "Quit"} <= set(titles)
        for command in app.get_system_commands(app.screen):
            if command.title in ("Peer limber-steady-seal", "Dark or light", "Copy peer id", "Explain this screen"):
                command.callback()
        await stage.settled(pilot)
        assert app.selected == 1
        assert app.theme == "swarm-light"
        assert isinstance(app.screen, Help)


@pytest.mark.asyncio
async def test_clicks_work_like_keys(tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "busy"))
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        await pilot.click("#navigation", offset=(text_of(app).splitlines()[0].index("Peers"), 0))
        await until(pilot, lambda: app.current_mode == "peers")
        await pilot.click("#tabs", offset=(text_of(app).splitlines()[1].index("arctic"), 0))
        await until(pilot, lambda: app.selected == 2)
        await stage.settled(pilot)
        await pilot.click("#table", offset=(4, 2))
        assert app.screen.query_one("#table", Listing).cursor == 1  # below the border and the head


@pytest.mark.asyncio
async def test_the_keys_of_a_recording(tmp_path):
    stage.home(tmp_path, "busy")
    hands = [1000.0]
    app = stage.dashboard(
        tmp_path, 0.0, player=lambda: Player(tmp_path, 3, playing=False, real=lambda: hands[0]), outbox=None
    )
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        opened = app.player.now()
        await press(pilot, "2")
        assert "Round 3 of 1 to 3" in text_of(app)
        assert "opened 0.0 s ago" in text_of(app)
        await press(pilot, "full_stop")
        await until(pilot, lambda: "Round 4 of 1 to 4" in text_of(app))
        await press(pilot, "comma", "comma")
        await until(pilot, lambda: "Round 2 of 1 to 2" in text_of(app))
        await press(pilot, "greater_than_sign", "less_than_sign", "plus", "space")
        assert app.player.deck().speed == 8.0
        assert app.player.deck().playing
        hands[0] += 3.0
        await until(pilot, lambda: "Round 3 of 1 to 3" in text_of(app))
        await press(pilot, "space", "minus", "6", "7", "5", "4", "3", "1")
        assert not app.player.deck().playing
        assert app.player.now() > opened - 30
        assert {command.title for command in app.get_system_commands(app.screen)} >= {"Go to round 11", "Pause or play"}


@pytest.mark.asyncio
async def test_what_is_written_while_it_runs_appears(tmp_path):
    app = stage.dashboard(tmp_path, START_AT + 60)
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        assert "Waiting for the first peer" in text_of(app)
        stage.home(tmp_path, "busy")
        await until(pilot, lambda: len(app.peers) == 3 and app.peers[2].round == 12)
        assert "vital-fair-snail" in text_of(app)
        with EventLog(tmp_path / "peers" / "peer-1" / "events.jsonl", now=lambda: START_AT + 59) as log:
            log.append(Problem("NetworkError", "The bootnode is gone.", "Nothing is lost.", "Start it again."))
            await until(pilot, lambda: app.peers[0].problem is not None)
            assert "The bootnode is gone." in text_of(app)
            assert "Start it again." in text_of(app)
            log.append(Recovered("NetworkError"))
            await until(pilot, lambda: app.peers[0].problem.recovered_at is not None)
            assert "Over: The bootnode is gone." in text_of(app)


@pytest.mark.asyncio
async def test_a_process_that_dies_without_a_word_is_noticed(tmp_path):
    living = {40_000, 40_001, 40_002}
    now = stage.home(tmp_path, "busy")
    app = SwarmDashboard(tmp_path, clock=lambda: now, alive=lambda pid, _at: pid in living)
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        assert "running for" in text_of(app)
        living.remove(40_000)
        await until(pilot, lambda: app.peers[0].state == "died")
        await until(pilot, lambda: "The process is gone" in text_of(app))


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [(20, 6), (119, 60)])
async def test_any_terminal_size_is_drawn(tmp_path, size):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "degraded"))
    async with app.run_test(size=size) as pilot:
        await stage.settled(pilot)
        for number in range(1, len(SCREENS) + 1):
            await press(pilot, str(number))
            assert [len(line) for line in text_of(app).splitlines()] == [size[0]] * size[1]
        await pilot.resize_terminal(240, 70)
        await pilot.pause()
        assert "RL Swarm" in text_of(app)


@pytest.mark.asyncio
async def test_a_home_that_is_removed_empties_the_screen(tmp_path):
    now = stage.home(tmp_path, "busy")
    app = stage.dashboard(tmp_path, now)
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        await press(pilot, "shift+tab")
        shutil.rmtree(tmp_path / "peers")
        await until(pilot, lambda: app.peers == ())
        assert "No peer has started yet" in text_of(app)
        for number in range(2, len(SCREENS) + 1):
            await press(pilot, str(number))


@pytest.mark.asyncio
async def test_a_terminal_without_unicode_gets_plain_signs_everywhere(tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "busy"), unicode=False)
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        for number in range(1, len(SCREENS) + 1):
            await press(pilot, str(number))
            lines = app.screen._compositor.render_strips()
            drawn = "".join(part.text for line in lines for part in line.apply_filter(app.get_line_filters()[-1], None))
            assert drawn.isascii()


@pytest.mark.asyncio
async def test_sixteen_colours_are_those_of_the_terminal(tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "degraded"), color_system="standard")
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        for keys in ("1", "2", "3", "4", "5", "6", "7", "d"):
            await press(pilot, keys)
            styles = {part.style for line in app.screen._compositor.render_strips() for part in line if part.style}
            colours = [colour for style in styles for colour in (style.color, style.bgcolor) if colour is not None]
            assert colours
            assert not [colour for colour in colours if colour.triplet is not None], keys
        assert app.theme == "swarm-light-16"
