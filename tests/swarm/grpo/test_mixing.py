from collections import Counter

from protocol.ids import PeerId
from swarm.grpo.mixing import Slot, mix

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")


def test_all_own_rollouts_enter_in_order_and_some_of_the_others():
    slots = mix(A, {A: 3, B: 8, C: 8}, 4, ("run", 1))
    assert slots[:3] == (Slot(A, 0), Slot(A, 1), Slot(A, 2))
    assert len(slots) == 7
    assert len(set(slots)) == 7
    assert {slot.peer for slot in slots[3:]} <= {B, C}


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_peers():
    first = mix(A, {A: 2, B: 8, C: 8}, 4, ("run", 1))
    assert mix(A, {C: 8, B: 8, A: 2}, 4, ("run", 1)) == first
    assert mix(A, {A: 2, B: 8, C: 8}, 4, ("run", 2)) != first


def test_more_own_rollouts_do_not_change_which_others_enter():
    assert mix(A, {A: 8, B: 8}, 3, (1,))[8:] == mix(A, {A: 1, B: 8}, 3, (1,))[1:]


def test_with_too_few_others_all_of_them_enter():
    assert set(mix(A, {A: 1, B: 2}, 8, (1,))) == {Slot(A, 0), Slot(B, 0), Slot(B, 1)}
    assert mix(A, {A: 2}, 8, (1,)) == (Slot(A, 0), Slot(A, 1))
    assert mix(A, {A: 2, B: 5}, 0, (1,)) == (Slot(A, 0), Slot(A, 1))


def test_a_peer_that_answered_nothing_learns_from_the_others():
    assert len(mix(A, {B: 4}, 3, (1,))) == 3


def test_every_external_rollout_is_equally_likely():
    counts = Counter(slot for draw in range(2000) for slot in mix(A, {B: 4, C: 4}, 2, (draw,)))
    assert len(counts) == 8
    assert all(400 < count < 600 for count in counts.values())
