"""Pretending not to have seen somebody earns nothing; missing what nobody received costs nothing."""

from protocol.ids import ContentId, PeerId, Stage
from swarm.absence import uncounted

ANN, BOB, EVE = PeerId("ann"), PeerId("bob"), PeerId("eve")
A, B, E = ContentId("a" * 64), ContentId("b" * 64), ContentId("e" * 64)
C1, C2, C3 = ContentId("1" * 64), ContentId("2" * 64), ContentId("3" * 64)


def test_leaving_out_what_the_majority_saw_is_not_counted() -> None:
    everything = frozenset({A, B, E})
    batches = {ANN: (C1, everything), BOB: (C2, everything), EVE: (C3, frozenset({B, E}))}
    assert uncounted({Stage.CRITIQUE: batches}) == {C3}


def test_an_absence_that_most_share_is_nobodys_fault() -> None:
    most = frozenset({A, B})
    batches = {ANN: (C1, most), BOB: (C2, most), EVE: (C3, frozenset({A, B, E}))}
    assert uncounted({Stage.CRITIQUE: batches}) == frozenset()


def test_of_two_critics_who_saw_different_things_neither_is_punished() -> None:
    batches = {ANN: (C1, frozenset({A})), BOB: (C2, frozenset({A, B}))}
    assert uncounted({Stage.DECIDE: batches}) == frozenset()
    assert uncounted({Stage.DECIDE: {ANN: (C1, frozenset({A})), BOB: (C2, frozenset({B}))}}) == frozenset()


def test_the_answer_stage_shows_nothing_and_excludes_nobody() -> None:
    assert uncounted({Stage.ANSWER: {ANN: (C1, frozenset()), BOB: (C2, frozenset())}}) == frozenset()


def test_of_two_versions_of_one_batch_nobody_needs_to_have_seen_the_more_common_one() -> None:
    first, second = ContentId("d" * 64), ContentId("f" * 64)
    batches = {
        ANN: (C1, frozenset({A, B, first})),
        BOB: (C2, frozenset({A, B, second})),
        EVE: (C3, frozenset({A, B, first})),
    }
    assert uncounted({Stage.CRITIQUE: batches}) == {C2}
    assert uncounted({Stage.CRITIQUE: batches}, {first, second}) == frozenset()
    without_ann = batches | {BOB: (C2, frozenset({B, second}))}
    assert uncounted({Stage.CRITIQUE: without_ann}, {first, second}) == {C2}
