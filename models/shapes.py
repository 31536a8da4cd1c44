"""Why this module exists: whether real models fit a machine must be tried without downloading any.

    python -m models.shapes gemma3 FOLDER

writes a checkpoint in the shape of a published model, with random weights and the bundled tokenizer: what it says is
noise; what it needs is what the real one needs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import typer

TINY = Path(__file__).parent / "tiny"
_TOKENIZER_FILES = ("chat_template.jinja", "tokenizer.json", "tokenizer_config.json")

SHAPES: dict[str, dict[str, Any]] = {
    # SmolLM2-135M
    "llama": {
        "model_type": "llama",
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "rope_theta": 100_000.0,
        "tie_word_embeddings": True,
    },
    # Qwen2.5-0.5B, 8 of its 24 layers
    "qwen2": {
        "model_type": "qwen2",
        "vocab_size": 151_936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 8,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "rope_theta": 1_000_000.0,
        "tie_word_embeddings": True,
    },
    # Qwen3-0.6B, 8 of its 28 layers
    "qwen3": {
        "model_type": "qwen3",
        "vocab_size": 151_936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 8,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rope_theta": 1_000_000.0,
        "tie_word_embeddings": True,
    },
    # Gemma 3 270M
    "gemma3": {
        "model_type": "gemma3_text",
        "vocab_size": 262_144,
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": 18,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "sliding_window": 512,
        "tie_word_embeddings": True,
    },
}


def write_checkpoint(shape: str, folder: Path, *, dtype: str = "bfloat16") -> Path:
    """A model directory in the shape of that name, the same every time. Raises ``KeyError`` for an unknown one."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    settings = dict(SHAPES[shape])
    folder.mkdir(parents=True, exist_ok=True)
    for name in _TOKENIZER_FILES:
        shutil.copyfile(TINY / name, folder / name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = AutoConfig.for_model(settings.pop("model_type"), **settings, **ends, max_position_embeddings=8192)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).to(getattr(torch, dtype))
    model.save_pretrained(folder)
    return folder


def main(shape: str, folder: Path, dtype: str = "bfloat16") -> None:
    """Write the checkpoint."""
    if shape not in SHAPES:
        raise typer.BadParameter(f"There is no shape {shape!r}; there are {', '.join(SHAPES)}.")
    typer.echo(write_checkpoint(shape, folder, dtype=dtype))


if __name__ == "__main__":
    typer.run(main)
