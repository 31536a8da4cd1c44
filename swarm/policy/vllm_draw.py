"""Why this module exists: where vLLM is installed it may draw, and still every token follows from its rollout's seed.

vLLM's own sampler is not asked for randomness: a logits processor takes the token that the seed's number picks
(``swarm.policy.sample``) and leaves no other, so whoever checks needs to know nothing of vLLM. The weights are the
engine's, copied over after each step. Written to vLLM's documented interfaces (offline ``LLM`` with a V1
``LogitsProcessor``); vLLM is imported only here and only when it is asked for.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import torch

from protocol.errors import ConfigError
from swarm.policy.base import Sampling
from swarm.policy.generate import Drawn, Ids
from swarm.policy.load import LoadedModel
from swarm.policy.sample import draw, uniforms

_SEED = "swarm_seed"


def require_vllm() -> None:
    """Raises ``ConfigError`` where vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            "trl.use_vllm is on, and vLLM is not installed here.",
            "Nothing was started; credits are not touched.",
            "Install it beside this program (`pip install rl-swarm-peer[vllm]`, which needs a GPU), or leave"
            " trl.use_vllm off: completions are then drawn by this program.",
        )


class VllmDrawing:
    """vLLM on this process's GPU with the model of ``loaded``. ``memory``: the share of the GPU that it may take."""

    def __init__(self, loaded: LoadedModel, memory: float) -> None:
        require_vllm()
        if any("lora_" in name for name, _ in loaded.model.named_parameters()):
            raise ConfigError(
                "vLLM does not draw through this run's adapters.",
                "Nothing was drawn; credits are not touched.",
                "Leave trl.use_vllm off in runs with learn.lora_rank above 0.",
            )
        os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")  # the interface that SeededTokens is written to
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # weights are handed over within the process
        from vllm import LLM

        self._llm: Any = LLM(
            model=loaded.model.name_or_path,
            dtype="float32",
            gpu_memory_utilization=memory,
            logits_processors=[seeded_tokens(loaded.vocab_size)],
        )
        self._version: tuple[int, ...] = ()

    def draw(
        self,
        loaded: LoadedModel,
        version: tuple[int, ...],
        prompts: Sequence[Ids],
        seeds: Sequence[int],
        sampling: Sampling,
    ) -> list[Drawn]:
        """One completion per prompt and seed, in order. ``version``: of the weights; other ones are handed over."""
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt

        if version != self._version:
            self._hand_over(loaded)
            self._version = version
        asked = [
            SamplingParams(
                temperature=0.0,  # only one token is left to choose
                max_tokens=sampling.max_new_tokens,
                stop_token_ids=list(loaded.end_ids),
                detokenize=False,
                extra_args={
                    _SEED: str(seed & 0xFFFFFFFFFFFFFFFF),
                    "temperature": sampling.temperature,
                    "top_k": sampling.top_k,
                },
            )
            for seed in seeds
        ]
        outputs = self._llm.generate(
            [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts], asked, use_tqdm=False
        )
        ends = set(loaded.end_ids)
        rows = [tuple(int(token) for token in output.outputs[0].token_ids) for output in outputs]
        return [Drawn(row, bool(row) and row[-1] in ends) for row in rows]

    def _hand_over(self, loaded: LoadedModel) -> None:
        worker = self._llm.llm_engine.model_executor.driver_worker
        worker.model_runner.model.load_weights(list(loaded.model.state_dict().items()))
        self._llm.reset_prefix_cache()


def seeded_tokens(vocab_size: int) -> type[Any]:
    """A vLLM logits processor that leaves each request the one token which its seed's number picks."""
    from vllm.v1.sample.logits_processor import LogitsProcessor

    class SeededTokens(LogitsProcessor):  # type: ignore[misc]
        """Requests by row of the batch: (arguments, tokens so far)."""

        def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
            self._rows: dict[int, tuple[dict[str, Any], list[int]]] = {}

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: Any) -> None:
            if batch_update is None:
                return
            for row in batch_update.removed:
                self._rows.pop(row, None)
            for row, params, _, tokens in batch_update.added:
                arguments = params.extra_args or {}
                if _SEED in arguments:
                    self._rows[row] = (arguments, tokens)
                else:
                    self._rows.pop(row, None)
            for source, target, direction in batch_update.moved:
                one, other = self._rows.pop(source, None), self._rows.pop(target, None)
                if one is not None:
                    self._rows[target] = one
                if other is not None and direction.name == "SWAP":
                    self._rows[source] = other

        def apply(self, logits: torch.Tensor) -> torch.Tensor:
            for row, (arguments, tokens) in self._rows.items():
                number = uniforms([int(arguments[_SEED])], len(tokens) + 1)[:, -1].to(logits.device)
                sampling = Sampling(1, arguments["temperature"], arguments["top_k"])
                token = draw(logits[row : row + 1, :vocab_size], number, sampling)
                logits[row] = -torch.inf
                logits[row, token] = 0.0
            return logits

    return SeededTokens
