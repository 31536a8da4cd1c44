import io

from rich.console import Console

from protocol.events import Progress, Recovered
from swarm.observe.console import Follower, Printer, ProgressDisplay
from swarm.observe.eventlog import EventLog
from swarm.observe.notes import Note
from tests.swarm.observe import playback
from tests.swarm.observe.playback import START_AT


def plain_console():
    out = io.StringIO()
    return Console(file=out, force_terminal=False, width=40), out


def test_events_of_all_peers_come_in_order_of_time_and_once(tmp_path):
    playback.write(tmp_path, num_rounds=2)
    follower = Follower(tmp_path)
    first = follower.poll()
    times = [logged.at for _, logged in first]
    assert times == sorted(times)
    assert {name for name, _ in first} == {"vital-fair-snail", "limber-steady-seal", "arctic-jaunty-swan"}
    assert follower.poll() == []


def test_what_happened_before_the_session_is_not_repeated(tmp_path):
    playback.write(tmp_path, num_rounds=2)
    since = START_AT + 6 + playback.ROUND_S
    late = Follower(tmp_path, since).poll()
    assert min(logged.at for _, logged in late) >= since
    assert "vital-fair-snail" in {name for name, _ in late}


def test_lines_are_printed_whole_and_without_markup(tmp_path):
    with EventLog(tmp_path / "peers" / "one" / "events.jsonl") as log:
        log.append(Recovered("[bold]not markup[/bold] :smile: " + "x" * 40))
    console, out = plain_console()
    assert Printer(tmp_path, console=console).poll() == 1
    assert out.getvalue() == "one: over: [bold]not markup[/bold] :smile: " + "x" * 31 + "…\n"


def test_progress_without_a_terminal_is_a_line_per_quarter():
    console, out = plain_console()
    with ProgressDisplay(console) as display:
        for done in range(0, 101):
            display.show(Progress("evaluating", done, 100), "me")
        display.show(Progress("loading", 0, 0), "me")
        display.show(Progress("loading", 0, 0), "me")
    assert out.getvalue().splitlines() == [
        "me: evaluating (0 of 100)", "me: evaluating (25 of 100)", "me: evaluating (50 of 100)",
        "me: evaluating (75 of 100)", "me: evaluating (100 of 100)", "me: loading",
    ]  # fmt: skip


def test_progress_on_a_terminal_leaves_nothing_running_behind():
    out = io.StringIO()
    display = ProgressDisplay(Console(file=out, force_terminal=True, width=80))
    with display:
        for _, event in playback.script(0, 3, 2):
            display.show(event, "me")
        display.show(Progress("half", 1, 2), "me")
        assert [task.description for task in display._bars.tasks] == ["me: half"]
        display.show(Progress("half", 2, 2), "me")
        assert display._bars.tasks == []


def test_a_printer_mixes_the_programs_own_notes_with_what_the_peers_wrote(tmp_path):
    playback.write(tmp_path, num_peers=1, num_rounds=1)
    console, out = plain_console()
    with Printer(tmp_path, console=console) as printer:
        printer.poll()
        printer.note(Note("peer 1 is started again"))
    assert out.getvalue().splitlines()[-1] == "peer 1 is started again"
    assert "vital-fair-snail: round 1: complete" in out.getvalue()
