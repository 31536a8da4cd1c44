"""The recipe trains on replies only, from training questions only, and twice the same."""

from pathlib import Path
from random import Random

import pytest
import torch

from models.examples import make_example
from models.recipe import TASK, new_model, schedule, tensors, train
from protocol.ids import Stage
from swarm.tasks.base import is_held_out
from swarm.tasks.registry import load_task, open_task

TINY = Path(__file__).resolve().parents[2] / "models" / "tiny"


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(TINY, local_files_only=True)


@pytest.fixture(scope="module")
def questions():
    return [question.text for question in open_task(*load_task(TASK)).questions(0, 50)]


def test_no_training_question_is_held_out(questions):
    assert not any(is_held_out(text, load_task(TASK).spec.held_out_one_in) for text in questions)


def test_only_replies_are_learned(tokenizer, questions):
    examples = [make_example(stage, questions[0], Random(0)) for stage in Stage]
    ids, labels = tensors(tokenizer, examples)
    for row, example in enumerate(examples):
        learned = [int(token) for token in labels[row] if token != -100]
        assert tokenizer.decode(learned) == example.reply + "<|end|>"
        assert torch.equal(ids[row][labels[row] != -100], labels[row][labels[row] != -100])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(tokenizer, questions):
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat(
            [p.detach().flatten() for p in train(new_model(tokenizer), tokenizer, questions, seed, 2).parameters()]
        )

    first = weights(0)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_the_learning_rate_warms_up_and_decays():
    rates = [schedule(step, 1000) for step in range(1000)]
    assert rates[0] < 0.02
    assert max(rates) > 0.95
    assert 0.04 < rates[-1] < 0.06
