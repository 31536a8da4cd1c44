"""Why this module exists: anyone can remake the bundled model, on a CPU, in minutes, and get the same weights.

    python -m models.recipe --out models/tiny --seed 0

Questions (training side only) -> supervised examples of the three stages -> tokenizer -> small Llama -> measured card.
Same seed, thread count, machine type and versions give the same bytes.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch

from models.card import model_card
from models.examples import Example, make_example
from models.measure import measure
from models.tokenizer import build_tokenizer
from protocol.ids import Stage
from protocol.seeds import derive_seed
from swarm.tasks.registry import load_task, open_task, task_names

TASK = "sums"
HIDDEN, LAYERS, HEADS, INNER, CONTEXT = 128, 3, 4, 320, 2048
INITIAL_RANGE = 0.06
STEPS, BATCH, PEAK_RATE, WARM_UP = 1500, 64, 3e-3, 100
STAGE_SHARES = {Stage.ANSWER: 0.5, Stage.CRITIQUE: 0.25, Stage.DECIDE: 0.25}
NUM_QUESTIONS = 60_000


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="directory to write the model into")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    started = time.monotonic()
    task = open_task(*load_task(TASK))
    questions = [question.text for question in task.questions(options.seed, NUM_QUESTIONS)]
    tokenizer = build_tokenizer(_corpus(options.seed), options.out)
    model = train(new_model(tokenizer), tokenizer, questions, options.seed, options.steps)
    model.save_pretrained(options.out)
    minutes = (time.monotonic() - started) / 60
    card = model_card(
        measure(options.out, task, options.threads), num_parameters=model.num_parameters(),
        shape=f"{LAYERS} layers of width {HIDDEN}, {HEADS} heads", seed=options.seed, steps=options.steps, batch=BATCH,
        minutes=minutes, threads=options.threads, held_out_one_in=task.spec.held_out_one_in, vocab_size=len(tokenizer),
    )  # fmt: skip
    (options.out / "README.md").write_text(card, encoding="utf-8")
    print(card[card.index("## What was measured") :], file=sys.stderr)


def new_model(tokenizer: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=CONTEXT, tie_word_embeddings=True,
        initializer_range=INITIAL_RANGE, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def train(model: Any, tokenizer: Any, questions: list[str], seed: int, steps: int) -> Any:
    """Supervised training on replies only; every example is made once, on the fly, from ``seed``."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.05, betas=(0.9, 0.98))
    batches = _batches(tokenizer, questions, Random(derive_seed("recipe", seed)))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * schedule(step, steps)
        ids, labels = next(batches)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step}/{steps} loss {float(loss.detach()):.4f}", file=sys.stderr, flush=True)
    return model.eval()


def schedule(step: int, steps: int) -> float:
    """Share of the peak rate: linear warm-up, then a cosine down to 5 %."""
    warm_up = min(1.0, (step + 1) / WARM_UP)
    return warm_up * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _batches(tokenizer: Any, questions: list[str], random: Random) -> Iterator[tuple[torch.Tensor, ...]]:
    stages, weights = list(STAGE_SHARES), list(STAGE_SHARES.values())
    while True:
        stage = random.choices(stages, weights)[0]
        size = BATCH if stage is Stage.ANSWER else BATCH // 3
        yield tensors(tokenizer, [make_example(stage, random.choice(questions), random) for _ in range(size)])


def tensors(tokenizer: Any, examples: list[Example]) -> tuple[torch.Tensor, ...]:
    """ids and labels (-100 outside replies), each [batch, longest]; padding is on the right, where nobody looks."""
    turns = [[{"role": turn.role, "content": turn.content} for turn in example.prompt] for example in examples]
    heads = [tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) for turn in turns]
    head_ids = tokenizer(heads, add_special_tokens=False)["input_ids"]
    reply_ids = tokenizer([example.reply for example in examples], add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    width = max(len(head) + len(reply) + 1 for head, reply in zip(head_ids, reply_ids, strict=True))
    ids = torch.full((len(examples), width), end)
    labels = torch.full((len(examples), width), -100)
    for row, (head, reply) in enumerate(zip(head_ids, reply_ids, strict=True)):
        whole = torch.tensor([*head, *reply, end])
        ids[row, : len(whole)] = whole
        labels[row, len(head) : len(whole)] = whole[len(head) :]
    return ids, labels


def _corpus(seed: int) -> Iterator[str]:
    """Text for the tokenizer's merges: questions of every task, and examples of every stage."""
    for name in task_names():
        yield from (question.text for question in open_task(*load_task(name)).questions(seed, 40))
    random = Random(derive_seed("corpus", seed))
    for question in open_task(*load_task(TASK)).questions(seed, 300):
        for stage in Stage:
            example = make_example(stage, question.text, random)
            yield "\n".join([*(turn.content for turn in example.prompt), example.reply])


if __name__ == "__main__":
    main()
