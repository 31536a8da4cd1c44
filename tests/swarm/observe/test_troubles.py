import pytest

from protocol.errors import ChainUnreachable, NetworkError
from protocol.events import Problem, Recovered
from swarm.observe.eventlog import EventLog, read
from swarm.observe.troubles import Troubles


@pytest.fixture
def told(tmp_path):
    with EventLog(tmp_path / "events.jsonl") as log:
        yield Troubles(log), lambda: [logged.event for logged in read(log.path).events]


def test_a_lasting_problem_is_told_once_and_its_end_once(told):
    troubles, events = told
    for _ in range(3):
        troubles.report(ChainUnreachable("No answer.", "Kept.", "Wait."))
    troubles.over(ChainUnreachable)
    troubles.over(ChainUnreachable)
    assert events() == [Problem("ChainUnreachable", "No answer.", "Kept.", "Wait."), Recovered("ChainUnreachable")]


def test_other_words_or_a_new_beginning_are_told_again(told):
    troubles, events = told
    troubles.report(ChainUnreachable("No answer."))
    troubles.report(ChainUnreachable("Nonsense for an answer."))
    troubles.over(ChainUnreachable)
    troubles.report(ChainUnreachable("No answer."))
    assert [type(event).__name__ for event in events()] == ["Problem", "Problem", "Recovered", "Problem"]


def test_one_problem_does_not_end_another(told):
    troubles, events = told
    troubles.report(NetworkError("Alone."))
    troubles.over(ChainUnreachable)
    troubles.report(NetworkError("Alone."))
    assert events() == [Problem("NetworkError", "Alone.", "", "")]
