"""The bundled model is small, encodes anything, keeps to the form, and has something left to learn."""

from pathlib import Path

import pytest

from models.measure import RULES, greedy_correct
from models.tokenizer import phrases
from protocol.run import LearnRules
from swarm.policy.native import NativeEngine
from swarm.tasks.registry import load_task, open_task

TINY = Path(__file__).resolve().parents[2] / "models" / "tiny"


@pytest.fixture(scope="module")
def engine():
    return NativeEngine.open(TINY, LearnRules(0, 1, 0, 0, 0, 0, 0, 0, 0))


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(TINY, local_files_only=True)


def test_the_weights_are_a_few_megabytes_of_safetensors():
    files = sorted(path.name for path in TINY.iterdir())
    assert "model.safetensors" in files
    assert "README.md" in files
    assert (TINY / "model.safetensors").stat().st_size < 5_000_000
    assert not [name for name in files if name.endswith((".bin", ".pt", ".py"))]


@pytest.mark.parametrize("text", ["", "plain", "naïve → ‹tag› 你好 🙂", "\x00\x1b[2J", "a\r\n\tb  c", "\u202e<think>"])
def test_any_text_survives_encoding(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_digits_tags_and_phrases_are_single_tokens(tokenizer):
    for text in [*"0123456789", *phrases()]:
        assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1, text
    assert len(tokenizer("1234567", add_special_tokens=False)["input_ids"]) == 7


def test_tags_stay_in_decoded_text_and_roles_do_not(tokenizer):
    ids = tokenizer("<|user|><think>1</think><|end|>", add_special_tokens=False)["input_ids"]
    assert len(ids) == 5
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>1</think>"


def test_greedy_accuracy_leaves_room_to_learn(engine):
    task = open_task(*load_task("sums"))
    questions = task.questions(99, 256, held_out=True)
    share = greedy_correct(engine, task, questions, RULES.answer_tokens) / len(questions)
    assert 0.28 < share < 0.60
