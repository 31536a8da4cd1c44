"""Why this module exists: TRL's ``GRPOTrainer`` takes its policy updates on rollouts that the swarm hands in.

The trainer is TRL's own: loss, gradient accumulation, clipping, optimiser loop, accelerate, mixed precision. Only where
it would draw completions and score them, it takes what it is given: the swarm's rollouts, own and shared, with the
advantages that the swarm's rules give. Shares of a round's groups are those of ``swarm.grpo.step``.

Where several processes share a step, each makes the micro-batches of its own share; ``accelerate`` averages gradients.

Shapes: B samples of a micro-batch, P prompt columns (padded on the left), T completion positions (padded on the right).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from transformers import PrinterCallback, ProgressCallback
from trl import GRPOConfig, GRPOTrainer

from protocol.run import LearnRules
from swarm.grpo.adamw import TrainState, adam_rules
from swarm.grpo.loss import loss_rules
from swarm.grpo.step import LogProbs, Sample, require_learnable, shares
from swarm.policy.base import StepReport
from swarm.policy.load import LoadedModel
from swarm.policy.trl_options import TrlOptions

Batch = dict[str, torch.Tensor]

_BY_TOKENS = frozenset({"dapo", "cispo", "vespo"})
"""Losses that TRL divides by the update's tokens: there a sample without advantage needs no forward pass."""


class Share(NamedTuple):
    """Which of the ``of`` processes that take a step together this one is, from 0."""

    rank: int = 0
    of: int = 1


ALONE = Share()

Row = tuple[Sample, bool]
"""A sample, and whether it counts: what does not only fills a place and weighs nothing."""


class HandedIn(GRPOTrainer):  # type: ignore[misc]
    """``GRPOTrainer`` over this process's ready-made micro-batches, in their order. ``on_pass``: told before each."""

    def __init__(self, batches: Sequence[Batch], on_pass: Callable[[], object], **options: Any) -> None:
        super().__init__(**options)
        self._batches, self._on_pass = batches, on_pass

    def get_train_dataloader(self) -> Any:
        """The micro-batches: they are shared out already, so ``accelerate`` must not do it again."""
        return torch.utils.data.DataLoader(_Listed(self._batches), batch_size=None, shuffle=False)

    def _prepare_inputs(self, generation_batch: Batch) -> Batch:
        self._on_pass()
        return {name: value.to(self.accelerator.device) for name, value in generation_batch.items()}


class _Listed(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Batch:
        return self._batches[number]


def train(
    loaded: LoadedModel,
    state: TrainState,
    log_probs: LogProbs,
    samples: Sequence[Sample],
    rules: LearnRules,
    options: TrlOptions,
    seed: int,
    *,
    temperature: float,
    reference: LogProbs | None = None,
    share: Share = ALONE,
    on_pass: Callable[[], object] = lambda: None,
) -> StepReport:
    """One round's updates of ``state`` in place by TRL; arguments as for ``swarm.grpo.step.train``.

    Several processes call it with the same state, samples and seed, each with its own ``share``, in a process group of
    that size; each ends in the same state. ``on_pass`` is told before each forward pass.

    TRL's log-probabilities are over all rows of the model's last layer, also those that the tokenizer does not use.
    """
    require_learnable(samples)
    updates = shares(samples, max(1, rules.num_updates), seed)

    def told(policy: LogProbs) -> LogProbs:
        def asked(part: Sequence[Sample]) -> torch.Tensor:
            on_pass()
            return policy(part)

        return asked

    anchor = None if reference is None else told(reference)
    batches, per_update = _batches(loaded, told(log_probs), anchor, updates, rules, options, share)
    optimiser = _optimiser_of(state, rules)
    original = loaded.model.__dict__.get("forward")
    config, generation = loaded.model.config, loaded.model.generation_config
    pads = (config.get_text_config().pad_token_id, generation.pad_token_id)
    with TemporaryDirectory(prefix="swarm-trl-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = HandedIn(
            batches,
            on_pass,
            model=loaded.model,
            reward_funcs=[_unused],
            args=_arguments(loaded, Path(folder), rules, options, len(updates), per_update, temperature),
            train_dataset=Dataset.from_list([{"prompt": "unused"}]),
            processing_class=loaded.tokenizer,
            optimizers=(optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        trainer.beta = loss_rules(rules).beta  # given above, the trainer would load a reference of its own
        try:
            done = trainer.train()
        finally:
            _give_back(loaded, original)
            config.get_text_config().pad_token_id, generation.pad_token_id = pads
    _adopt(state, optimiser, len(updates))
    norms = [line["grad_norm"] for line in trainer.state.log_history if "grad_norm" in line]
    return StepReport(
        loss=float(done.training_loss),
        grad_norm=float(norms[-1]) if norms else 0.0,
        num_tokens=sum(len(sample.tokens) for sample in samples),
        num_updates=len(updates),
    )


def _batches(
    loaded: LoadedModel,
    log_probs: LogProbs,
    reference: LogProbs | None,
    updates: Sequence[Sequence[Sample]],
    rules: LearnRules,
    options: TrlOptions,
    share: Share,
) -> tuple[list[Batch], int]:
    """The share's micro-batches in order, and how many an update has: the same number for each, as TRL wants it.

    The n-th micro-batches of all shares have equally many rows, because TRL gathers a number per row for its records.
    """
    beta = loss_rules(rules).beta
    counted = [_needed(update, options, beta) for update in updates]
    per_update = max(math.ceil(len(update) / (options.batch_size * share.of)) for update in counted)
    batches: list[Batch] = []
    for number, (update, needed) in enumerate(zip(updates, counted, strict=True)):
        num_tokens = sum(len(sample.tokens) for sample in update)
        for rows in _split(_shared_out(needed, share), per_update):
            part = [sample for sample, _ in rows]
            batch = _padded(rows, loaded, options)
            batch["num_items_in_batch"] = torch.tensor(num_tokens)
            with torch.no_grad():
                if number:  # the first update is taken on the policy itself
                    batch["old_per_token_logps"] = log_probs(part).cpu()
                if beta and reference is not None:
                    batch["ref_per_token_logps"] = reference(part).cpu()
            batches.append(batch)
    return batches, per_update


def _needed(update: Sequence[Sample], options: TrlOptions, beta: float) -> list[Sample]:
    """Samples of an update that its gradient depends on, longest last so that rows of a micro-batch are alike."""
    plain = options.loss_type in _BY_TOKENS and not options.entropy_coef and options.top_entropy_quantile == 1
    needed = [sample for sample in update if sample.tokens]
    if plain and not beta:
        needed = [sample for sample in needed if sample.advantage] or needed[:1]
    return sorted(needed, key=lambda sample: (len(sample.prompt) + len(sample.tokens), sample.prompt))


def _shared_out(samples: Sequence[Sample], share: Share) -> list[Row]:
    """Every ``of``-th sample, so that shares are alike in length, and as many rows in each share."""
    rows = [(sample, True) for sample in samples[share.rank :: share.of]]
    return rows + [(samples[0], False)] * (math.ceil(len(samples) / share.of) - len(rows))


def _split(rows: list[Row], count: int) -> Iterator[list[Row]]:
    """``count`` consecutive parts whose sizes differ by one at most; an empty one gets a row without weight."""
    for number in range(count):
        part = rows[len(rows) * number // count : len(rows) * (number + 1) // count]
        yield part or [(rows[0][0], False)]


def _padded(part: Sequence[Row], loaded: LoadedModel, options: TrlOptions) -> Batch:
    width = max(len(sample.prompt) for sample, _ in part)
    length = max(len(sample.tokens) for sample, _ in part)
    ends = set(loaded.end_ids)
    batch = {
        name: torch.zeros((len(part), size), dtype=torch.long)
        for name, size in (
            ("prompt_ids", width),
            ("prompt_mask", width),
            ("completion_ids", length),
            ("completion_mask", length),
        )
    }
    for row, (sample, counts) in enumerate(part):
        start, end = width - len(sample.prompt), len(sample.tokens)
        batch["prompt_ids"][row, start:] = torch.tensor(sample.prompt)
        batch["prompt_mask"][row, start:] = 1
        batch["completion_ids"][row, :end] = torch.tensor(sample.tokens)
        is_masked = options.mask_truncated_completions and sample.tokens[-1] not in ends
        batch["completion_mask"][row, :end] = 1 if counts and not is_masked else 0
    batch["advantages"] = torch.tensor([sample.advantage for sample, _ in part], dtype=torch.float32)
    return batch


def _arguments(
    loaded: LoadedModel,
    folder: Path,
    rules: LearnRules,
    options: TrlOptions,
    num_updates: int,
    per_update: int,
    temperature: float,
) -> GRPOConfig:
    loss, adam = loss_rules(rules), adam_rules(rules)
    arguments = GRPOConfig(
        output_dir=str(folder),
        use_cpu=loaded.device.type == "cpu",
        bf16=options.bf16,
        gradient_checkpointing=options.gradient_checkpointing,
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        max_steps=num_updates,
        per_device_train_batch_size=2,  # of no effect on what is handed in; the trainer wants whole groups
        num_generations=2,
        gradient_accumulation_steps=per_update,
        learning_rate=adam.learning_rate,
        max_grad_norm=adam.max_grad_norm,
        temperature=temperature,
        epsilon=loss.epsilon_low,
        epsilon_high=loss.epsilon_high,
        delta=loss.delta,
        beta=0.0,
        **options.of_trainer(),
    )
    if loaded.device.type == "cuda":
        arguments._n_gpu = 1  # else one process would cut its micro-batches over all cards (nn.DataParallel)
    return arguments


def _unused(completions: Sequence[Any], **_: Any) -> list[float]:
    raise AssertionError("Rollouts are handed in with their advantages; nothing is scored here.")


def _optimiser_of(state: TrainState, rules: LearnRules) -> torch.optim.AdamW:
    """torch's AdamW on the state's own tensors."""
    adam = adam_rules(rules)
    optimiser = torch.optim.AdamW(
        state.parameters,
        lr=adam.learning_rate,
        betas=(adam.beta1, adam.beta2),
        eps=adam.epsilon,
        weight_decay=adam.weight_decay,
    )
    for parameter, first, second in zip(state.parameters, state.first, state.second, strict=True):
        optimiser.state[parameter] = {
            "step": torch.tensor(float(state.step)),
            "exp_avg": first,
            "exp_avg_sq": second,
        }
    return optimiser


@torch.no_grad()
def _adopt(state: TrainState, optimiser: torch.optim.AdamW, num_updates: int) -> None:
    """Moments back into the state (accelerate may have put copies in their place)."""
    for parameter, first, second in zip(state.parameters, state.first, state.second, strict=True):
        moments = optimiser.state[parameter]
        first.copy_(moments["exp_avg"])
        second.copy_(moments["exp_avg_sq"])
    state.step += num_updates


def _give_back(loaded: LoadedModel, original: Any) -> None:
    """The model as it was: TRL puts a head of its own into its forward, and trains in training mode."""
    if original is None:
        loaded.model.__dict__.pop("forward", None)
    else:
        loaded.model.forward = original
    loaded.model.eval()
