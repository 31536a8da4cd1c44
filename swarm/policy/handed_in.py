"""Why this module exists: TRL's ``GRPOTrainer`` takes its policy updates on rollouts that the swarm hands in.

The trainer is TRL's own: loss, gradient accumulation, clipping, optimiser loop, accelerate, mixed precision. Only where
it would draw completions and score them, it takes what it is given: the swarm's rollouts, own and shared, with the
advantages that the swarm's rules give. Shares of a round's groups are those of ``swarm.grpo.step``.

Shapes: B samples of a micro-batch, P prompt columns (padded on the left), T completion positions (padded on the right).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, ProgressCallback
from trl import GRPOConfig, GRPOTrainer

from protocol.run import LearnRules
from swarm.grpo.adamw import TrainState, adam_rules
from swarm.grpo.loss import loss_rules
from swarm.grpo.step import LogProbs, Sample, shares
from swarm.policy.base import StepReport
from swarm.policy.load import LoadedModel
from swarm.policy.trl_options import TrlOptions

Batch = dict[str, torch.Tensor]

_BY_TOKENS = frozenset({"dapo", "cispo", "vespo"})
"""Losses that TRL divides by the update's tokens: there a sample without advantage needs no forward pass."""


class HandedIn(GRPOTrainer):  # type: ignore[misc]
    """``GRPOTrainer`` over ready-made micro-batches, in their order."""

    def __init__(self, batches: Sequence[Batch], **options: Any) -> None:
        super().__init__(**options)
        self._batches = batches

    def get_train_dataloader(self) -> Any:
        """The micro-batches; several processes of ``accelerate`` share them."""
        loader = torch.utils.data.DataLoader(_Listed(self._batches), batch_size=None, shuffle=False)
        return self.accelerator.prepare_data_loader(loader, device_placement=True)

    def _prepare_inputs(self, generation_batch: Batch) -> Batch:
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
) -> StepReport:
    """One round's updates of ``state`` in place by TRL; arguments as for ``swarm.grpo.step.train``.

    TRL's log-probabilities are over all rows of the model's last layer, also those that the tokenizer does not use.
    """
    if not samples:
        raise ValueError("A training step needs at least one sample.")
    if not all(math.isfinite(sample.advantage) for sample in samples):
        raise ValueError("Advantages must be finite numbers.")
    updates = shares(samples, max(1, rules.num_updates), seed)
    batches, per_update = _batches(loaded, log_probs, reference, updates, rules, options)
    optimiser = _optimiser_of(state, rules)
    original = loaded.model.__dict__.get("forward")
    config, generation = loaded.model.config, loaded.model.generation_config
    pads = (config.get_text_config().pad_token_id, generation.pad_token_id)
    with TemporaryDirectory(prefix="swarm-trl-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = HandedIn(
            batches,
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
) -> tuple[list[Batch], int]:
    """All micro-batches in order, and how many an update has: the same number for each, as TRL wants it."""
    beta = loss_rules(rules).beta
    counted = [_needed(update, options, beta) for update in updates]
    per_update = max(math.ceil(len(update) / options.batch_size) for update in counted)
    batches: list[Batch] = []
    for number, (update, needed) in enumerate(zip(updates, counted, strict=True)):
        num_tokens = sum(len(sample.tokens) for sample in update)
        for part in _split(needed, per_update):
            batch = _padded(part, loaded, options)
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


def _split(samples: list[Sample], count: int) -> Iterator[list[Sample]]:
    """``count`` consecutive parts whose sizes differ by one at most; missing ones come twice, weightless."""
    for number in range(count):
        part = samples[len(samples) * number // count : len(samples) * (number + 1) // count]
        yield part or [Sample(samples[0].prompt, samples[0].tokens, 0.0)]


def _padded(part: Sequence[Sample], loaded: LoadedModel, options: TrlOptions) -> Batch:
    width = max(len(sample.prompt) for sample in part)
    length = max(len(sample.tokens) for sample in part)
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
    for row, sample in enumerate(part):
        start, end = width - len(sample.prompt), len(sample.tokens)
        batch["prompt_ids"][row, start:] = torch.tensor(sample.prompt)
        batch["prompt_mask"][row, start:] = 1
        batch["completion_ids"][row, :end] = torch.tensor(sample.tokens)
        is_cut = sample.tokens[-1] not in ends
        batch["completion_mask"][row, :end] = 0 if options.mask_truncated_completions and is_cut else 1
    batch["advantages"] = torch.tensor([sample.advantage for sample in part], dtype=torch.float32)
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
    return GRPOConfig(
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
