from protocol.events import Outcome, QuestionPlayed, Said
from swarm.observe.eventlog import EventLog
from swarm.observe.snapshot import snapshot
from swarm.observe.store import Store
from tests.swarm.observe import playback
from tests.swarm.observe.playback import START_AT, peer_id, round_right


def look(home, name="peer-1", now=START_AT + 1000):
    with Store(home / "peers" / name / "events.jsonl") as store:
        store.refresh()
        return snapshot(name, store, now, lambda _pid, _at: True)


def test_a_finished_round_is_shown_with_everything_known(busy_home):
    seen = look(busy_home)
    assert (seen.status.round, seen.last_round, seen.last_outcome) == (12, 12, Outcome.COMPLETE)
    assert [one.nickname for one in seen.peers] == ["vital-fair-snail", "limber-steady-seal", "arctic-jaunty-swan"]
    assert [one.me for one in seen.peers] == [True, False, False]
    assert all(one.cohort and len(one.scores) == 12 for one in seen.peers)
    assert [number for number, _ in seen.accuracy] == list(range(13))
    assert seen.accuracy[-1] == (12, 1000 * round_right(0, 12) // 512)
    assert (seen.custody.round, seen.custody.signed, seen.custody.attested, seen.custody.settled) == (
        12, True, True, True,
    )  # fmt: skip
    assert seen.custody.others_seen == 2
    assert seen.question.round == 12
    assert [one.label for one in seen.question.answers] == ["A", "B", "C"]


def test_the_middle_of_a_stage_is_shown_as_such(tmp_path):
    playback.write(tmp_path, until=START_AT + 6 + 4.0)
    seen = look(tmp_path)
    answer, critique, decide = seen.stages
    assert (answer.outcome, critique.outcome, critique.started, decide.started) == (Outcome.COMPLETE, None, True, False)
    assert (seen.status.phase, seen.last_outcome, seen.custody, seen.question) == ("critique", None, None, None)


def test_what_strangers_wrote_is_made_safe(busy_home):
    evil = "\x1b]0;title\x07[bold]x[/bold]\u202e" + "y" * 5000
    said = (Said(peer_id(1), "\x1b[2J", evil, 10**6, evil),)
    with EventLog(busy_home / "peers" / "peer-1" / "events.jsonl", now=lambda: START_AT + 500) as log:
        log.append(QuestionPlayed(13, evil, evil, said, said, said))
    question = look(busy_home).question
    (one,) = question.answers
    assert one.text.startswith("[bold]x[/bold]yyy")
    assert len(one.text) == 600
    assert one.label == ""
    assert "\x1b" not in question.question + question.truth + one.why
