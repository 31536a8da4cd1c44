"""Why this module exists: a prompt has one list of token ids and a completion one text, wherever they are computed.

Text that came from other peers is part of prompts. Special tokens spelled out in it ("<|im_end|>") are broken up
before the chat template is applied, so that nobody can end a turn, or open one, inside somebody else's prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protocol.errors import ConfigError
from swarm.policy.base import Prompt

_CACHED_PROMPTS = 4096


class TextCodec:
    """Prompts to ids and ids to text, for one tokenizer and its chat template (or a plain rendering without one)."""

    def __init__(self, tokenizer: Any, vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        specials = set(tokenizer.all_special_tokens)
        specials.update(str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
        self._specials = sorted((token for token in specials if token), key=lambda token: (-len(token), token))
        self._cache: dict[Prompt, tuple[int, ...]] = {}

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Ids of the rendered prompt, ready for the assistant's turn. Raises ``ConfigError`` if the template fails."""
        known = self._cache.get(prompt)
        if known is None:
            known = tuple(self._encode(prompt))
            if len(self._cache) >= _CACHED_PROMPTS:
                self._cache.clear()
            self._cache[prompt] = known
        return known

    def _encode(self, prompt: Prompt) -> list[int]:
        messages = [{"role": turn.role, "content": self._defused(turn.content)} for turn in prompt]
        if not self._tokenizer.chat_template:
            ids: list[int] = self._tokenizer(_plain_text(messages))["input_ids"]
            return ids[:-1] if len(ids) > 1 and ids[-1] == self._tokenizer.eos_token_id else ids
        try:
            text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program: it may raise anything
            raise ConfigError(
                f"The model's chat template refuses the prompt: {error}.",
                "Nothing can be generated with this model.",
                "Use a model whose template accepts the roles system and user.",
            ) from error
        templated: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return templated

    def _defused(self, content: str) -> str:
        for token in self._specials:
            while token in content:
                content = content.replace(token, f"{token[0]} {token[1:]}" if len(token) > 1 else "")
        return content

    def text_of(self, tokens: Sequence[int]) -> str:
        """Decoded text without special tokens. Raises ``ValueError`` for ids outside the vocabulary."""
        return self.texts_of([tokens])[0]

    def texts_of(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """``text_of`` for many rows in one call of the tokenizer."""
        for row in rows:
            self.check(row)
        if not rows:
            return []
        decoded: list[str] = self._tokenizer.batch_decode(
            [list(row) for row in rows], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return decoded

    def check(self, tokens: Sequence[int]) -> None:
        """Raises ``ValueError`` when an id is outside the vocabulary."""
        if tokens and not (min(tokens) >= 0 and max(tokens) < self._vocab_size):
            raise ValueError(f"Token ids must lie in 0 to {self._vocab_size - 1}; got {min(tokens)} to {max(tokens)}.")


def _plain_text(messages: Sequence[dict[str, str]]) -> str:
    turns = [f"{turn['role'].capitalize()}: {turn['content']}" for turn in messages]
    return "\n\n".join([*turns, "Assistant:"])
