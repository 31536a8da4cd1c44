"""How much dearer is exact decoding? ``python -m benchmarks.decoding [--batch N] [--threads N] [--json]``

A model of the shape of Qwen2.5-0.5B with random weights decodes greedily from prompts of 64 tokens, natively by
transformers and by the exact decoder, in turns. Reported: medians of seconds per token step, and their quotient.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np
import torch

from benchmarks.swarm_runs import criterion
from verde.numerics.decoder import Cache, Decoder, Tokens, decoder_of
from verde.numerics.mode import exact

SHAPE = {
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
PROMPT_TOKENS = 64


def model_of_half_a_billion(device: str = "cpu") -> Any:
    """A Qwen2 of that shape with random weights, in evaluation mode, settled for exact arithmetic, on ``device``."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen2", **SHAPE), attn_implementation="sdpa").eval()
    model.to(device)
    with exact(model):
        pass
    return model


def native_step_s(model: Any, prompt_BL: torch.Tensor, steps: int) -> float:
    """Median seconds of one decoding step of the whole batch."""
    from transformers import DynamicCache

    cache, times = DynamicCache(config=model.config), []
    with torch.inference_mode():
        logits = model(input_ids=prompt_BL, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        for _ in range(steps):
            start = time.perf_counter()
            token_B1 = logits[:, -1].argmax(-1, keepdim=True)
            token_B1.cpu()  # a generation loop looks for end tokens
            logits = model(input_ids=token_B1, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def exact_step_s(decoder: Decoder, prompt_BL: torch.Tensor, steps: int) -> float:
    """The same by the exact decoder."""
    batch, length = prompt_BL.shape
    cache = decoder.new_cache(batch * (length + steps))
    first_B = np.arange(batch) * (length + steps)
    logits, times = _pass(decoder, cache, prompt_BL, first_B, 0), []
    for step in range(steps):
        start = time.perf_counter()
        logits = _pass(decoder, cache, logits.argmax(-1, keepdim=True).cpu(), first_B, length + step)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _pass(decoder: Decoder, cache: Cache, ids_BL: torch.Tensor, first_B: np.ndarray, start: int) -> torch.Tensor:
    """Logits [B, V] after tokens that begin at position ``start``."""
    batch, length = ids_BL.shape
    position_N = np.tile(np.arange(start, start + length), batch)
    first_N = np.repeat(first_B, length)
    slot_N = first_N + position_N
    ranges = np.stack([first_N, first_N, first_N, slot_N + 1], 1)
    x_NK = decoder.forward(Tokens(ids_BL.reshape(-1).cpu().numpy(), position_N, slot_N, ranges), cache)
    return decoder.logits(x_NK, np.arange(1, batch + 1) * length - 1)


def decode_ratio(batch: int = 8, steps: int = 12, repeats: int = 3) -> dict[str, float]:
    """``native_s`` and ``exact_s`` per step (medians over ``repeats`` turns), and ``ratio``."""
    model = model_of_half_a_billion()
    decoder = decoder_of(model)
    if decoder is None:
        raise RuntimeError("The decoder does not know this family.")
    prompt_BL = torch.randint(0, SHAPE["vocab_size"], (batch, PROMPT_TOKENS))
    pairs = [
        (native_step_s(model, prompt_BL, steps), exact_step_s(decoder, prompt_BL, steps)) for _ in range(repeats + 1)
    ][1:]
    native_s, exact_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(exact / native for native, exact in pairs)
    return {"native_s": native_s, "exact_s": exact_s, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = decode_ratio(options.batch, options.steps, options.repeats)
    if not options.json:
        print(f"batch {options.batch}, {torch.get_num_threads()} threads:", end=" ")
        print(f"native {1000 * found['native_s']:.1f} ms and exact {1000 * found['exact_s']:.1f} ms a step")
    body = {
        "batch": options.batch,
        "threads": torch.get_num_threads(),
        **{key: round(value, 4) for key, value in found.items()},
        "criteria": [criterion("decode_ratio", round(found["ratio"], 3), 1.1, "quotient")],
    }
    print(json.dumps(body))


if __name__ == "__main__":
    main()
