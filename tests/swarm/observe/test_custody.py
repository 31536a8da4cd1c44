import pytest

from protocol import events as e
from protocol.messages import Finding
from swarm.observe.custody import round_detail
from swarm.observe.eventlog import EventLog
from swarm.observe.stores import Stores
from tests.swarm.observe.playback import START_AT, content, micro, peer_id

ME, FRIEND, STRANGER = peer_id(0), peer_id(1), peer_id(2)
MEMBERS = (ME, FRIEND, STRANGER)


def started(number):
    return e.PeerStarted("name", peer_id(number), "0x" + "a" * 40, "/home", "m", "exact", "1", 1)


def opened(round):
    return e.RoundOpened(round, content("seed"), MEMBERS, MEMBERS, START_AT, START_AT + 60)


def settled(round, *who, paid=None):
    contents = tuple(content("c", one, round) for one in who)
    earned = {peer_id(one): micro(one, round) for one in who}
    pay = {peer_id(one): amount for one, amount in (paid or {}).items()}
    return e.RoundSettled(round, content("root", round), content("credits", round), contents, earned, ME, pay)


def ended(round, outcome=e.Outcome.COMPLETE):
    return e.RoundEnded(round, outcome, (), 9.0, 1.0, 1.0, 1.0, 1.0, 1.0)


SIGNED = e.ContributionSigned(1, content("c", 0, 1))
PUBLISHED = e.ContributionPublished(1, content("c", 0, 1))
PROPOSED = e.ResultProposed(1, ME, content("credits", 1), (content("c", 0, 1), content("c", 2, 1)))
SEEN_BY_STRANGER = e.AttestationSeen(1, STRANGER, content("credits", 1))


def way(root, *events, of=ME, friends=(), number=1):
    """The way of ``of``'s contribution after these events of this peer, and ``friends`` of its neighbour."""
    for name, who, told in (("a", 0, events), ("b", 1, friends)):
        with EventLog(root / "peers" / name / "events.jsonl", now=lambda: START_AT) as log:
            for event in (started(who), opened(1), *told):
                log.append(event)
    with Stores(root) as stores:
        detail = round_detail(stores.peers, "a", number)
    return next(one for one in detail.ways if one.peer == of)


@pytest.mark.parametrize(
    ("events", "missing", "is_lost"),
    [
        ((), "produced: not here yet", False),
        ((ended(1),), "produced: nothing arrived before the round was over", True),
        ((SIGNED,), "published: signed, not sent yet", False),
        ((SIGNED, PUBLISHED), "seen: nobody has said yet that it arrived", False),
        (
            (SIGNED, PUBLISHED, PROPOSED, SEEN_BY_STRANGER),
            "credited: waits for a result that enough members sign (1 so far)",
            False,
        ),
        (
            (SIGNED, PUBLISHED, ended(1, e.Outcome.NO_QUORUM)),
            "credited: no result was recorded, too few members signed one",
            True,
        ),
        ((SIGNED, PUBLISHED, settled(1, 2)), "credited: left out of the recorded result", True),
        (
            (SIGNED, PUBLISHED, settled(1, 0)),
            "settled: one more result, before which a spot-check can strike it",
            False,
        ),
        (
            (SIGNED, settled(1, 0), e.VerdictSeen(1, ME, content("c", 0, 1), FRIEND, 2, Finding.MATCH, "")),
            "settled: waits for the next recorded result, which pays it",
            False,
        ),
        (
            (SIGNED, settled(1, 0), e.VerdictSeen(1, ME, content("c", 0, 1), FRIEND, 1, Finding.MISMATCH, "x")),
            "verified: 1 found another result; attestors judge it",
            False,
        ),
        (
            (SIGNED, settled(1, 0), e.Struck(1, ME, content("c", 0, 1), 5)),
            "struck: a check found another result, its pay was refused",
            True,
        ),
        (
            (SIGNED, settled(1, 0), settled(2, 0, paid={0: micro(0, 1)})),
            "claimed: waits until its epoch is final and unlocked",
            False,
        ),
        ((SIGNED, settled(1, 0), e.CreditsChanged(micro(0, 1), micro(0, 1))), "", False),
    ],
)
def test_the_first_step_that_is_missing_is_named(tmp_path, events, missing, is_lost):
    found = way(tmp_path, *events)
    assert (found.missing, found.is_lost) == (missing, is_lost)


def test_a_neighbour_of_the_same_machine_and_a_signer_have_seen_it(tmp_path):
    seen = e.ContributionSeen(1, ME, content("c", 0, 1), 7)
    found = way(tmp_path, SIGNED, PROPOSED, SEEN_BY_STRANGER, friends=(seen,))
    assert (found.seen_by, found.seen_of, found.published) == (2, 2, True)


def test_what_a_stranger_claimed_is_not_known_here(tmp_path):
    seen = e.ContributionSeen(1, STRANGER, content("c", 2, 1), 7)
    found = way(tmp_path, seen, settled(1, 2), settled(2, 2, paid={2: micro(2, 1)}), of=STRANGER)
    assert (found.produced, found.published, found.settled, found.claimed) == (True, True, True, None)
    assert (found.credited_micro, found.expected_micro, found.missing) == (micro(2, 1), 7, "")


def test_a_neighbours_work_is_known_before_it_is_published(tmp_path):
    found = way(tmp_path, friends=(e.ContributionSigned(1, content("c", 1, 1)),), of=FRIEND)
    assert (found.local, found.produced, found.published) == (True, True, False)


def test_an_old_log_without_the_word_published_is_read_by_what_followed(tmp_path):
    assert way(tmp_path, SIGNED, settled(1, 0)).published


def test_a_round_tells_its_history_and_an_unknown_one_is_the_newest(tmp_path):
    with EventLog(tmp_path / "peers" / "a" / "events.jsonl", now=lambda: START_AT) as log:
        for event in (started(0), opened(1), ended(1), opened(2), ended(2, e.Outcome.LATE), opened(3)):
            log.append(event)
    with Stores(tmp_path) as stores:
        detail = round_detail(stores.peers, "a", 77)
        assert (detail.round, detail.first_round, detail.last_round) == (3, 1, 3)
        assert detail.history == ((1, e.Outcome.COMPLETE), (2, e.Outcome.LATE), (3, None))
        assert round_detail(stores.peers, "a", 1).outcome is e.Outcome.COMPLETE


def test_before_any_round_there_is_nothing(tmp_path):
    with EventLog(tmp_path / "peers" / "a" / "events.jsonl") as log:
        log.append(started(0))
    with Stores(tmp_path) as stores:
        assert round_detail(stores.peers, "a") is None
