"""Why this module exists: a model of a million weights cannot afford to spell out its instructions.

A byte-level BPE (any text encodes, nothing is unknown) in which every digit, every tag and every fixed sentence of the
game's prompts is a single token. If those sentences change they are merely spelled out, and the model is retrained.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rewards.scoring.format import TAGS
from swarm.game import prompts

END = "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
VOCABULARY_SIZE = 512

QUESTION_PHRASE = "State the final answer to the following arithmetic problem: "

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def phrases() -> list[str]:
    """Plain text that is one token each: tags, the prompts' fixed sentences, and a few words of the game."""
    tags = [tag for names in TAGS.values() for name in names for tag in (f"<{name}>", f"</{name}>")]
    sentences = [prompts.ANSWER_RULES, prompts.CRITIQUE_RULES, prompts.DECIDE_RULES, QUESTION_PHRASE]
    headings = [f"\n{prompts.ANSWERS_HEADING}\n", f"\n{prompts.CRITIQUES_HEADING}\n"]
    return list(dict.fromkeys([*tags, *sentences, *headings, prompts.ABSENT, prompts.UNREADABLE, "none"]))


def build_tokenizer(corpus: Iterable[str], directory: Path) -> Any:
    """Train the merges on ``corpus``, write the tokenizer into ``directory``, return it as transformers loads it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in (END, *ROLES)]
    plain = [AddedToken(phrase, special=False, normalized=False) for phrase in phrases()]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(special) - len(plain),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens(plain)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(directory)
    return fast
