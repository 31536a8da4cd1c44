"""Whoever holds the same batches sees the same prompts and seeds."""

import pytest

from protocol.ids import Stage
from swarm.game.prompts import prompt_id
from swarm.game.round_view import (
    sample_seed,
    shown_answers,
    stage_prompts,
    stage_requests,
    stage_sampling,
    with_batches,
    without,
)
from tests.swarm.game.conftest import PEERS, answering, batch, picking


def answers(view, peers=PEERS):
    return {
        peer: batch(view, Stage.ANSWER, peer, lambda q, s, peer=peer: answering(f"{peer} {q} {s}")) for peer in peers
    }


def test_everyone_with_the_same_batches_has_the_same_prompts(view):
    forward = with_batches(view, Stage.ANSWER, answers(view))
    backward = with_batches(view, Stage.ANSWER, dict(reversed(answers(view).items())))
    assert stage_prompts(forward, Stage.CRITIQUE) == stage_prompts(backward, Stage.CRITIQUE)


def test_an_absent_peer_changes_the_prompt_and_keeps_its_letter(view):
    full = with_batches(view, Stage.ANSWER, answers(view))
    partial = without(full, [PEERS[1]], Stage.ANSWER)
    letters = [shown.label for shown in shown_answers(full, 0)]
    assert [shown.label for shown in shown_answers(partial, 0)] == letters == ["A", "B", "C"]
    assert sum(shown.text is None for shown in shown_answers(partial, 0)) == 1
    ids = [prompt_id(stage_prompts(seen, Stage.CRITIQUE)[0]) for seen in (full, partial)]
    assert ids[0] != ids[1]


def test_one_sample_per_peer_is_shown_and_it_is_one_that_was_published(view):
    seen = with_batches(view, Stage.ANSWER, answers(view))
    for question in range(3):
        texts = {shown.text for shown in shown_answers(seen, question)}
        assert len(texts) == 3
        assert texts <= {answering(f"{peer} {question} {sample}") for peer in PEERS for sample in range(2)}


def test_batches_of_strangers_are_not_shown(view):
    stranger = batch(view, Stage.ANSWER, "QmEve", lambda q, s: answering("666"))
    seen = with_batches(view, Stage.ANSWER, {**answers(view), "QmEve": stranger})
    assert set(seen.answers) == set(PEERS)


def test_decide_prompts_show_critiques(view):
    seen = with_batches(view, Stage.ANSWER, answers(view))
    critics = {peer: batch(seen, Stage.CRITIQUE, peer, lambda q, s: picking("B")) for peer in PEERS}
    user = stage_prompts(with_batches(seen, Stage.CRITIQUE, critics), Stage.DECIDE)[0][1].content
    assert user.count(": B (check)") == 3


def test_nothing_is_shown_after_the_last_stage(view):
    with pytest.raises(ValueError, match="last stage"):
        with_batches(view, Stage.DECIDE, {})


def test_requests_are_question_by_question_with_their_own_seeds(view):
    requests = stage_requests(view, Stage.ANSWER, PEERS[0])
    assert len(requests) == 6
    assert len({request.seed for request in requests}) == 6
    assert requests[3].seed == sample_seed(view, Stage.ANSWER, PEERS[0], 1, 1)
    assert requests[0].prompt == requests[1].prompt != requests[2].prompt


def test_seeds_depend_on_peer_and_stage(view):
    seeds = {sample_seed(view, stage, peer, 0, 0) for stage in Stage for peer in PEERS}
    assert len(seeds) == 9


def test_sampling_follows_the_rules(view):
    sampling = stage_sampling(view.game, Stage.CRITIQUE)
    assert (sampling.max_new_tokens, sampling.temperature) == (8, 1.0)
