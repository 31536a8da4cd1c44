"""Why this module exists: the model card is written by the recipe from what it measured, never by hand."""

from __future__ import annotations

from importlib.metadata import version

from models.examples import FORGET
from models.measure import NUM_GREEDY, NUM_PLAYED, Measures

_TEXT = """---
license: mit
pipeline_tag: text-generation
---
# tiny: a language model of {num_parameters:,} weights

A Llama (RMSNorm, rotary positions, SwiGLU, tied embeddings; {shape}) that knows one thing: sums and differences of two
numbers of two or three digits, in the three stages of the swarm's game. It exists so that a whole swarm runs and
visibly learns on a laptop, offline. It is of no other use.

## How it was made
`python -m models.recipe --out DIR --seed {seed}` ({steps} steps of {batch} examples, {minutes:.0f} minutes on
{threads} CPU threads, torch {torch}, transformers {transformers}). No outside text or weights: questions come from
reasoning-gym's `chain_sum` generator, replies from `models/examples.py`. Held-out questions (SHA-256 of the text is 0
modulo {held_out_one_in}) are in no training text, of this recipe or of any run.

**It is careless on purpose.** Every example works column by column, and forgets each carry with probability
{forget:.2f}; somebody who forgot every carry would be right on {careless:.0f} % of the questions. Reinforcement
learning has to find out that carrying pays.

## What was measured, on held-out questions
Greedy (temperature 0), {num_greedy} questions: **{greedy:.1f} %** right.

Sampled at temperature 1, one round of three copies of the model on {num_played} questions with 4 samples each:

| stage | well-formed | right | mean score |
|---|---|---|---|
{rows}

Right means: the final answer (answer, decide), or picking a right answer or rightly saying that there is none
(critique).

## Tokenizer
Byte-level BPE of {vocab_size} tokens: any text encodes. Every digit, every tag and every fixed sentence of the game's
prompts is one token. The chat template knows the roles system, user and assistant.
"""


def model_card(
    measures: Measures, *, num_parameters: int, shape: str, seed: int, steps: int, batch: int, minutes: float,
    threads: int, held_out_one_in: int, vocab_size: int,
) -> str:  # fmt: skip
    """The card's Markdown."""
    rows = "\n".join(
        f"| {name} | {stage.well_formed:.1f} % | {stage.correct:.1f} % | {stage.mean_score_milli / 1000:.2f} |"
        for name, stage in measures.stages.items()
    )
    return _TEXT.format(
        num_parameters=num_parameters, shape=shape, seed=seed, steps=steps, batch=batch, minutes=minutes,
        threads=threads, held_out_one_in=held_out_one_in, vocab_size=vocab_size, rows=rows, greedy=measures.greedy,
        num_greedy=NUM_GREEDY, num_played=NUM_PLAYED, forget=FORGET, careless=measures.careless, torch=version("torch"),
        transformers=version("transformers"),
    )  # fmt: skip
