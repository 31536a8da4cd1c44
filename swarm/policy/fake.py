"""Why this module exists: the node can be played end to end in milliseconds, without torch or a model.

It is an ``Engine`` like any other: completions depend on (state, prompt, seed, sampling) alone, a step moves the state
hash, and states are really saved and loaded. It does not learn. Its vocabulary is the 256 bytes and one end token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from protocol.codec import content_id_of
from protocol.errors import ConfigError
from protocol.ids import ContentId
from protocol.seeds import derive_bytes
from swarm.policy.base import Completion, Prompt, SampleRequest, Sampling, StepReport, TrainSample
from swarm.policy.disk import write_file

END_TOKEN = 256
"""Ends every completion that fits its token limit."""

Script = Callable[[Prompt, int], str]
"""What to say to a prompt, given the seed."""

_FORMAT = "rl-swarm/fake-state/1"
_FILE = "fake-state.json"
_FILE_CAP = 4096


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    model: str
    step: int
    history: ContentId


def babble(prompt: Prompt, seed: int) -> str:
    """The default script: sixteen hex digits that depend on the prompt and the seed."""
    turns = [part for turn in prompt for part in (turn.role, turn.content)]
    return derive_bytes("fake-completion", seed, *turns).hex()[:16]


class FakeEngine:
    """``model`` names the pretended weights: engines of the same name start from the same state hash."""

    name = "fake"
    profile = "bytes"

    def __init__(self, script: Script = babble, *, model: str = "fake") -> None:
        self._script = script
        self._state = _State(_FORMAT, model, 0, content_id_of((_FORMAT, model)))

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        """The script's text as UTF-8 bytes, cut at ``max_new_tokens``; greedy sampling always asks with seed 0."""
        completions = []
        for request in requests:
            seed = 0 if sampling.temperature == 0 else request.seed
            tokens = (*self._script(request.prompt, seed).encode(), END_TOKEN)[: sampling.max_new_tokens]
            completions.append(Completion(tokens, self.text_of(tokens), tokens[-1:] == (END_TOKEN,)))
        return completions

    def text_of(self, tokens: Sequence[int]) -> str:
        """The bytes as UTF-8 (broken sequences replaced), end token left out. Raises ``ValueError`` for other ids."""
        if any(not 0 <= token <= END_TOKEN for token in tokens):
            raise ValueError(f"Token ids of the fake engine lie in 0 to {END_TOKEN}.")
        return bytes(token for token in tokens if token != END_TOKEN).decode(errors="replace")

    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        """Moves the state to a hash of (state, samples, seed); ``loss`` and ``grad_norm`` are 0."""
        if not samples:
            raise ValueError("A training step needs at least one sample.")
        for sample in samples:
            self.text_of(sample.tokens)
        history = content_id_of((self._state.history, list(samples), seed))
        self._state = msgspec.structs.replace(self._state, step=self._state.step + 1, history=history)
        num_tokens = sum(len(sample.tokens) for sample in samples)
        return StepReport(loss=0.0, grad_norm=0.0, num_tokens=num_tokens, num_updates=1)

    def state_hash(self) -> ContentId:
        """Content id of the pretended model's name, the step count and everything that it was trained on."""
        return content_id_of(self._state)

    def save(self, directory: Path) -> None:
        """Write the state into ``directory``; a crash leaves the old content or the new."""
        directory.mkdir(parents=True, exist_ok=True)
        write_file(directory / _FILE, msgspec.json.encode(self._state))

    def load(self, directory: Path) -> None:
        """Replace the state by a saved one. Raises ``ConfigError`` when it is damaged or of another model."""
        try:
            raw = (directory / _FILE).read_bytes()
            if len(raw) > _FILE_CAP:
                raise ValueError("the file is too large")
            state = msgspec.json.decode(raw, type=_State)
            if (state.format, state.model) != (_FORMAT, self._state.model):
                raise ValueError("it belongs to another model")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"The saved state in {directory} cannot be used: {error}.",
                "Training did not continue from it; credits already settled are not touched.",
                "Move the folder away to start again from the run's first state.",
            ) from error
        self._state = state
