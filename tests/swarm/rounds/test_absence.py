"""Pretending not to have seen somebody does not pay; missing what nobody received costs nothing."""

from protocol.ids import ContentId, PeerId, Stage
from swarm.rounds.absence import blind, late, unseen

ANN, BOB, EVE = PeerId("ann"), PeerId("bob"), PeerId("eve")
A, B, E = ContentId("a" * 64), ContentId("b" * 64), ContentId("e" * 64)
C1, C2, C3 = ContentId("1" * 64), ContentId("2" * 64), ContentId("3" * 64)
D3 = ContentId("9" * 64)


def test_leaving_out_what_the_majority_saw_makes_a_batch_late() -> None:
    everything = frozenset({A, B, E})
    batches = {ANN: (C1, everything), BOB: (C2, everything), EVE: (C3, frozenset({B, E}))}
    assert blind({Stage.CRITIQUE: batches}) == {C3}


def test_an_absence_that_most_share_is_nobodys_fault() -> None:
    most = frozenset({A, B})
    batches = {ANN: (C1, most), BOB: (C2, most), EVE: (C3, frozenset({A, B, E}))}
    assert blind({Stage.CRITIQUE: batches}) == frozenset()


def test_of_two_critics_who_saw_different_things_neither_is_punished() -> None:
    batches = {ANN: (C1, frozenset({A})), BOB: (C2, frozenset({A, B}))}
    assert blind({Stage.DECIDE: batches}) == frozenset()
    assert blind({Stage.DECIDE: {ANN: (C1, frozenset({A})), BOB: (C2, frozenset({B}))}}) == frozenset()


def test_the_answer_stage_shows_nothing_and_excludes_nobody() -> None:
    assert blind({Stage.ANSWER: {ANN: (C1, frozenset()), BOB: (C2, frozenset())}}) == frozenset()


def test_of_two_versions_of_one_batch_nobody_needs_to_have_seen_the_more_common_one() -> None:
    first, second = ContentId("d" * 64), ContentId("f" * 64)
    batches = {
        ANN: (C1, frozenset({A, B, first})),
        BOB: (C2, frozenset({A, B, second})),
        EVE: (C3, frozenset({A, B, first})),
    }
    assert blind({Stage.CRITIQUE: batches}) == {C2}
    assert blind({Stage.CRITIQUE: batches}, {first, second}) == frozenset()
    without_ann = batches | {BOB: (C2, frozenset({B, second}))}
    assert blind({Stage.CRITIQUE: without_ann}, {first, second}) == {C2}


# --- batches that came when the others had gone on --------------------------------------------------------------------

ALL = frozenset({A, B, E})
ANSWERS = {ANN: (A, frozenset()), BOB: (B, frozenset()), EVE: (E, frozenset())}


def test_what_most_others_did_not_show_came_late() -> None:
    critiques = {ANN: (C1, frozenset({A, B})), BOB: (C2, frozenset({A, B})), EVE: (C3, ALL)}
    assert unseen({Stage.ANSWER: ANSWERS, Stage.CRITIQUE: critiques}) == {E}
    assert late({Stage.ANSWER: ANSWERS, Stage.CRITIQUE: critiques}) == {E}, "and who showed it all the same is punctual"


def test_whoever_half_of_the_others_saw_is_punctual() -> None:
    critiques = {ANN: (C1, frozenset({A, B})), BOB: (C2, ALL), EVE: (C3, ALL)}
    assert unseen({Stage.ANSWER: ANSWERS, Stage.CRITIQUE: critiques}) == frozenset()


def test_one_other_peer_alone_makes_nobody_late() -> None:
    answers = {ANN: (A, frozenset()), BOB: (B, frozenset())}
    critiques = {ANN: (C1, frozenset({A})), BOB: (C2, frozenset({A, B}))}
    assert late({Stage.ANSWER: answers, Stage.CRITIQUE: critiques}) == frozenset()
    assert late({Stage.ANSWER: ANSWERS}) == frozenset(), "and nobody at all does not either"


def test_a_late_critique_shows_in_the_decisions() -> None:
    critiques = {ANN: (C1, ALL), BOB: (C2, ALL), EVE: (C3, ALL)}
    without, all_of_it = frozenset({*ALL, C1, C2}), frozenset({*ALL, C1, C2, C3})
    decisions = {ANN: (ContentId("7" * 64), without), BOB: (ContentId("8" * 64), without), EVE: (D3, all_of_it)}
    consumed = {Stage.ANSWER: ANSWERS, Stage.CRITIQUE: critiques, Stage.DECIDE: decisions}
    assert late(consumed) == {C3}


def test_whoever_says_several_things_is_not_late_for_what_others_made_of_it() -> None:
    critiques = {ANN: (C1, frozenset({A, B})), BOB: (C2, frozenset({A, B})), EVE: (C3, ALL)}
    assert late({Stage.ANSWER: ANSWERS, Stage.CRITIQUE: critiques}, {E}) == frozenset()
