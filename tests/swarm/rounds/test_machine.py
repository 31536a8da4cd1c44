"""The round machine: every history is a list of happenings with times, no clock involved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.events import Outcome
from protocol.ids import STAGES, PeerId, Stage
from protocol.run import TimeRules
from swarm.rounds.machine import (
    Contribute,
    Contributed,
    EndStage,
    Finish,
    GaveUp,
    Generate,
    Happening,
    Judged,
    Leaving,
    Phase,
    Produced,
    Propose,
    Received,
    Recorded,
    RoundState,
    Skipped,
    Tick,
    Train,
    Trained,
    advance,
    begin,
    close,
    resume,
)

ANN, BOB, EVE = PeerId("ann"), PeerId("bob"), PeerId("eve")
ALL = frozenset({ANN, BOB, EVE})
RULES = TimeRules(stage_s=10, contribute_s=8, poster_s=3, round_s=100)


def play(state: RoundState, *happenings: tuple[float, Happening]) -> tuple[RoundState, list[object]]:
    actions: list[object] = []
    for now, happening in happenings:
        state, new = advance(state, happening, now)
        actions += new
    return state, actions


def full_stage(stage: Stage, now: float) -> list[tuple[float, Happening]]:
    return [(now, Produced(stage)), (now, Received(stage, BOB)), (now, Received(stage, EVE))]


def test_a_full_round_goes_through_every_phase_in_order() -> None:
    state, first = begin(ANN, ALL, (ANN, BOB, EVE), RULES, now=0)
    history: list[tuple[float, Happening]] = [
        step for n, stage in enumerate(STAGES) for step in full_stage(stage, n + 1)
    ]
    history += [(5, Trained()), (6, Contributed(ANN)), (6, Contributed(BOB)), (6, Contributed(EVE))]
    history += [(6, Judged()), (7, Recorded(settled=True, included=True))]
    state, actions = play(state, *history)
    assert first == [Generate(Stage.ANSWER, 10)]
    kinds = [type(action) for action in actions]
    assert kinds == [EndStage, Generate, EndStage, Generate, EndStage, Train, Contribute, Propose, Finish]
    assert actions[-1] == Finish(Outcome.COMPLETE)
    assert state.phase is Phase.CLOSED


def test_a_stage_ends_without_the_missing_peer_when_its_time_is_up() -> None:
    state, _ = begin(ANN, ALL, (ANN,), RULES, now=0)
    state, actions = play(state, (1, Produced(Stage.ANSWER)), (2, Received(Stage.ANSWER, BOB)), (9.9, Tick()))
    assert actions == []
    state, actions = play(state, (10, Tick()))
    assert actions == [
        EndStage(Stage.ANSWER, Outcome.PARTIAL, (BOB,), (EVE,)),
        Generate(Stage.CRITIQUE, 20),
    ]


def test_who_missed_a_stage_is_not_waited_for_in_the_next() -> None:
    state, _ = begin(ANN, ALL, (ANN,), RULES, now=0)
    state, _ = play(state, (1, Produced(Stage.ANSWER)), (1, Received(Stage.ANSWER, BOB)), (10, Tick()))
    state, actions = play(state, (11, Produced(Stage.CRITIQUE)), (12, Received(Stage.CRITIQUE, BOB)))
    assert actions[0] == EndStage(Stage.CRITIQUE, Outcome.PARTIAL, (BOB,), (EVE,))
    assert state.phase is Phase.DECIDE


def test_who_is_always_a_moment_late_costs_one_stages_time_and_no_more() -> None:
    state, _ = begin(ANN, ALL, (ANN,), RULES, now=0)
    state, _ = play(state, (1, Produced(Stage.ANSWER)), (1, Received(Stage.ANSWER, BOB)), (10, Tick()))
    state, _ = play(state, (11, Received(Stage.ANSWER, EVE)), (12, Produced(Stage.CRITIQUE)))
    state, actions = play(state, (13, Received(Stage.CRITIQUE, BOB)))
    assert actions[0] == EndStage(Stage.CRITIQUE, Outcome.PARTIAL, (BOB,), (EVE,))
    state, _ = play(state, (14, Received(Stage.CRITIQUE, EVE)), (15, Produced(Stage.DECIDE)))
    state, _ = play(state, (16, Received(Stage.DECIDE, BOB)))
    assert state.phase is Phase.TRAIN


def test_a_peer_that_is_late_itself_does_not_hold_it_against_the_others() -> None:
    state, _ = begin(ANN, ALL, (ANN,), RULES, now=0)
    state, actions = play(state, (12, Produced(Stage.ANSWER)), (13, Received(Stage.ANSWER, BOB)))
    assert actions[0] == EndStage(Stage.ANSWER, Outcome.ALONE, (), (BOB, EVE))
    state, actions = play(state, (14, Produced(Stage.CRITIQUE)))
    assert actions == []
    state, actions = play(state, (15, Received(Stage.CRITIQUE, BOB)))
    assert actions[0] == EndStage(Stage.CRITIQUE, Outcome.PARTIAL, (BOB,), (EVE,))


def test_a_peer_that_nobody_answers_plays_alone_and_says_so() -> None:
    state, _ = begin(ANN, ALL, (ANN,), RULES, now=0)
    _, actions = play(state, (1, Produced(Stage.ANSWER)), (10, Tick()))
    assert actions[0] == EndStage(Stage.ANSWER, Outcome.ALONE, (), (BOB, EVE))


def test_a_solo_cohort_is_complete_not_alone() -> None:
    state, _ = begin(ANN, frozenset({ANN}), (ANN,), RULES, now=0)
    _, actions = play(state, (1, Produced(Stage.ANSWER)))
    assert actions[0] == EndStage(Stage.ANSWER, Outcome.COMPLETE, (), ())


def test_own_work_much_later_than_the_deadline_is_a_late_stage() -> None:
    state, _ = begin(ANN, ALL, (ANN,), RULES, now=0)
    state, actions = play(state, (11, Tick()), (25, Produced(Stage.ANSWER)))
    assert isinstance(actions[0], EndStage)
    assert actions[0].outcome is Outcome.LATE


def test_a_stage_that_the_cohort_has_left_behind_is_skipped_at_once() -> None:
    state, _ = begin(ANN, ALL, (ANN,), RULES, now=0)
    state, actions = play(state, (1, Received(Stage.ANSWER, BOB)), (1, Skipped(Stage.ANSWER)))
    assert actions[0] == EndStage(Stage.ANSWER, Outcome.LATE, (BOB,), (EVE,))
    assert state.phase is Phase.CRITIQUE


def test_the_second_poster_takes_over_when_the_first_is_silent() -> None:
    state, _ = resume(BOB, ALL, (ANN, BOB, EVE), RULES, now=0)
    state, actions = play(state, (1, Contributed(BOB)), (1, Judged()), (3.9, Tick()))
    assert actions == []
    state, actions = play(state, (4, Tick()), (5, Tick()))
    assert actions == [Propose()]


def test_a_resumed_round_sends_its_contribution_again_before_anything_else() -> None:
    _, actions = resume(ANN, ALL, (ANN, BOB), RULES, now=0)
    assert actions == [Contribute()]


def test_contributions_are_waited_for_only_from_peers_that_decided() -> None:
    state, _ = begin(ANN, ALL, (ANN,), RULES, now=0)
    history: list[tuple[float, Happening]] = [
        *full_stage(Stage.ANSWER, 1),
        *full_stage(Stage.CRITIQUE, 2),
        (3, Produced(Stage.DECIDE)),
        (3, Received(Stage.DECIDE, BOB)),
        (12, Tick()),
        (13, Trained()),
        (13, Contributed(ANN)),
    ]
    state, _ = play(state, *history)
    assert state.phase is Phase.CONTRIBUTE
    state, actions = play(state, (14, Contributed(BOB)))
    assert actions == []
    state, actions = play(state, (14, Judged()))
    assert actions == [Propose()]


def test_checks_that_do_not_come_are_waited_for_no_longer_than_contributions() -> None:
    state, _ = resume(ANN, ALL, (ANN, BOB, EVE), RULES, now=0)
    state, actions = play(state, (1, Contributed(ANN)), (7.9, Tick()))
    assert (state.phase, actions) == (Phase.CONTRIBUTE, [])
    assert play(state, (8, Tick()))[1] == [Propose()]


def test_a_closing_round_makes_nothing_and_ends_when_everybody_else_is_leaving_too() -> None:
    state, actions = close(ANN, frozenset({ANN, BOB, EVE}), (ANN, BOB, EVE), RULES, now=0)
    assert (state.phase, actions) == (Phase.CONTRIBUTE, [])
    state, actions = play(state, (1, Judged()), (1, Leaving(BOB)))
    assert actions == []
    assert play(state, (2, Leaving(EVE)))[1] == [Propose()]
    assert play(state, (8, Tick()))[1] == [Propose()], "who died is not waited for for ever"


def test_whoever_closes_waits_for_those_who_play_on() -> None:
    state, _ = close(ANN, frozenset({BOB, EVE}), (ANN, BOB, EVE), RULES, now=0)
    state, actions = play(state, (1, Judged()), (1, Leaving(BOB)), (7, Received(Stage.ANSWER, EVE)), (9, Tick()))
    assert actions == []
    assert play(state, (20, Contributed(EVE)))[1] == [Propose()]
    assert play(state, (25, Tick()))[1] == [Propose()]


def test_who_is_leaving_is_not_waited_for() -> None:
    state, _ = begin(ANN, ALL, (ANN,), RULES, now=0)
    state, actions = play(state, (1, Produced(Stage.ANSWER)), (2, Received(Stage.ANSWER, BOB)), (3, Leaving(EVE)))
    assert actions[-1] == Generate(Stage.CRITIQUE, 13)


def test_who_gives_up_its_step_signs_nothing_and_still_judges_the_others() -> None:
    state, _ = begin(ANN, ALL, (ANN, BOB, EVE), RULES, now=0)
    history = [step for n, stage in enumerate(STAGES) for step in full_stage(stage, n + 1)]
    state, actions = play(state, *history, (5, GaveUp()))
    assert state.phase is Phase.CONTRIBUTE
    assert Contribute() not in actions
    state, actions = play(state, (6, Contributed(BOB)), (6, Contributed(EVE)), (6, Judged()))
    assert (state.phase, actions) == (Phase.AGREE, [Propose()])
    _, actions = play(state, (7, Recorded(settled=True, included=False)))
    assert actions == [Finish(Outcome.SKIPPED)]
    _, actions = play(state, (7, Recorded(settled=False, included=False)))
    assert actions == [Finish(Outcome.NO_QUORUM)]


def test_giving_up_means_something_in_training_only() -> None:
    state, _ = begin(ANN, ALL, (ANN, BOB, EVE), RULES, now=0)
    assert play(state, (1, GaveUp())) == (state, [])


def test_a_peer_that_decided_and_then_gave_up_is_not_waited_for() -> None:
    state, _ = begin(ANN, ALL, (ANN, BOB, EVE), RULES, now=0)
    history = [step for n, stage in enumerate(STAGES) for step in full_stage(stage, n + 1)]
    state, _ = play(state, *history, (5, Trained()), (6, Contributed(ANN)), (6, Contributed(BOB)), (6, Judged()))
    assert state.phase is Phase.CONTRIBUTE
    state, _ = play(state, (6, Leaving(EVE)))
    assert state.phase is Phase.AGREE


def test_a_round_closed_by_the_clock_and_one_that_left_me_out_have_their_own_names() -> None:
    state, _ = begin(ANN, ALL, (ANN,), RULES, now=0)
    assert play(state, (1, Recorded(settled=False, included=False)))[1] == [Finish(Outcome.NO_QUORUM)]
    assert play(state, (1, Recorded(settled=True, included=False)))[1] == [Finish(Outcome.NOT_INCLUDED)]


happenings = st.one_of(
    st.sampled_from(STAGES).map(Produced),
    st.builds(Received, st.sampled_from(STAGES), st.sampled_from([ANN, BOB, EVE, PeerId("stranger")])),
    st.just(Trained()),
    st.sampled_from([ANN, BOB, EVE]).map(Contributed),
    st.sampled_from([BOB, EVE]).map(Leaving),
    st.just(Judged()),
    st.just(GaveUp()),
    st.just(Tick()),
)


@given(st.lists(st.tuples(st.floats(0, 60), happenings), max_size=60))
def test_phases_never_go_back_and_no_action_is_given_twice(history: list[tuple[float, Happening]]) -> None:
    order = list(Phase)
    state, actions = begin(ANN, ALL, (BOB, ANN), RULES, now=0)
    given_actions: list[object] = list(actions)
    now = 0.0
    for wait, happening in history:
        now += wait / 10
        before = state
        state, new = advance(state, happening, now)
        assert order.index(state.phase) >= order.index(before.phase)
        given_actions += new
    names = [(type(a), getattr(a, "stage", None)) for a in given_actions]
    assert len(names) == len(set(names))
    state, last = advance(state, Recorded(True, True), now)
    assert [type(a) for a in last] == [Finish]
    assert advance(state, Tick(), now + 1) == (state, [])
