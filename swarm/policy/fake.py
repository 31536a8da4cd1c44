"""Why this module exists: the node can be played end to end in milliseconds, without torch or a model.

It is an ``Engine`` like any other, and ``Replayable``: completions depend on (state, prompt, seed, sampling) alone, a
step moves the state hash, and states are really saved, loaded, shipped and compared. It does not learn. Its vocabulary
is the 256 bytes and one end token; its weights and moments are what a hash function makes of its history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from protocol.codec import content_id_of, encode
from protocol.errors import ConfigError
from protocol.ids import ContentId
from protocol.seeds import derive_bytes, derive_seed
from swarm.policy.base import Completion, Prompt, Redrawn, SampleRequest, Sampling, StateParts, StepReport, TrainSample
from swarm.policy.disk import write_file
from verde.commit import Manifest, join, manifest_bytes, parse_manifest, split, state_root, tensor_row

END_TOKEN = 256
"""Ends every completion that fits its token limit."""

Script = Callable[[Prompt, int], str]
"""What to say to a prompt, given the seed."""

_FORMAT = "rl-swarm/fake-state/2"
_FILE = "fake-state.json"
_FILE_CAP = 512 * 1024
_ROWS = (tensor_row("moments", [2, 64]), tensor_row("weights", [130, 128]))
"""Enough for two chunks."""


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    model: str
    step: int
    moments: bytes
    weights: bytes


def _dream(*history: object) -> tuple[bytes, bytes]:
    """Moments and weights of a history: finite float32 numbers between 1 and 2, whatever the hash says."""
    sizes = [4 * row.num_elements for row in _ROWS]
    noise = bytearray(hashlib.shake_256(encode(history)).digest(sum(sizes)))
    noise[2::4] = bytes(byte | 0x80 for byte in noise[2::4])
    noise[3::4] = b"\x3f" * (len(noise) // 4)
    return bytes(noise[: sizes[0]]), bytes(noise[sizes[0] :])


def babble(prompt: Prompt, seed: int) -> str:
    """The default script: sixteen hex digits that depend on the prompt and the seed."""
    turns = [part for turn in prompt for part in (turn.role, turn.content)]
    return derive_bytes("fake-completion", seed, *turns).hex()[:16]


class FakeEngine:
    """``model`` names the pretended weights: engines of the same name start from the same state hash.

    ``learning_rate`` is a rule of its step like any other: with another one the same lesson ends in another state.
    """

    name = "fake"
    profile = "bytes"

    def __init__(self, script: Script = babble, *, model: str = "fake", learning_rate: int = 1) -> None:
        self._script = script
        self._learning_rate = learning_rate
        self._state = _State(_FORMAT, model, 0, *_dream(_FORMAT, model))

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        """The script's text as UTF-8 bytes, cut at ``max_new_tokens``.

        The script is told the request's seed; from a state that was trained, or at another temperature than 1, another
        number that depends on those, too; and 0 when sampling is greedy.
        """
        completions = []
        for request in requests:
            tokens = (*self._script(request.prompt, self._luck(request.seed, sampling)).encode(), END_TOKEN)
            tokens = tokens[: sampling.max_new_tokens]
            ended, digest = tokens[-1:] == (END_TOKEN,), self._digest(request, sampling, tokens)
            completions.append(Completion(tokens, self.text_of(tokens), ended, digest))
        return completions

    def _digest(self, request: SampleRequest, sampling: Sampling, tokens: tuple[int, ...]) -> bytes:
        """Of the logits that a real model would have had before these tokens."""
        return hashlib.sha256(encode((self._state.weights, request.prompt, tokens))).digest()

    def _luck(self, seed: int, sampling: Sampling) -> int:
        if sampling.temperature == 0:
            return 0
        if sampling.temperature == 1 and self._state.step == 0:
            return seed
        return derive_seed("fake-sample", self._state.weights, seed, repr(sampling.temperature))

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
        state = self._state
        moments, weights = _dream(state.moments, state.weights, list(samples), seed, self._learning_rate)
        self._state = msgspec.structs.replace(state, step=state.step + 1, moments=moments, weights=weights)
        num_tokens = sum(len(sample.tokens) for sample in samples)
        digest = hashlib.sha256(encode((state.weights, list(samples), seed, self._learning_rate))).digest()
        return StepReport(loss=0.0, grad_norm=0.0, num_tokens=num_tokens, num_updates=1, digest=digest)

    def state_hash(self) -> ContentId:
        """Root over the pretended model's name, the step count, weights and moments."""
        return state_root(self._split()[0])

    def parts(self) -> StateParts:
        manifest, chunks = self._split()
        return StateParts(manifest_bytes(manifest), chunks)

    def replica(self, parts: StateParts) -> FakeEngine:
        manifest = parse_manifest(parts.manifest)
        joined = join(manifest, parts.chunks, _ROWS, _base(self._state.model))
        tensors = {name: bytes(data) for name, data in joined.items()}
        other = FakeEngine(self._script, model=self._state.model, learning_rate=self._learning_rate)
        other._state = _State(_FORMAT, self._state.model, manifest.step, tensors["moments"], tensors["weights"])
        return other

    def redraw(
        self, requests: Sequence[SampleRequest], sampling: Sampling, completions: Sequence[Completion]
    ) -> list[Redrawn]:
        """See ``Replayable``."""
        return [
            Redrawn(_first_difference(mine, theirs), self._digest(request, sampling, theirs.tokens))
            for request, mine, theirs in zip(requests, self.generate(requests, sampling), completions, strict=True)
        ]

    def misses(
        self, requests: Sequence[SampleRequest], sampling: Sampling, completions: Sequence[Completion]
    ) -> list[float]:
        """See ``Tolerant``: all or nothing, as its distributions are."""
        return [float(one.position is not None) for one in self.redraw(requests, sampling, completions)]

    def _split(self) -> tuple[Manifest, tuple[bytes, ...]]:
        state = self._state
        return split(state.step, _base(state.model), zip(_ROWS, (state.moments, state.weights), strict=True))

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


def _base(model: str) -> ContentId:
    return content_id_of((_FORMAT, model))


def _first_difference(mine: Completion, theirs: Completion) -> int | None:
    pairs = zip(mine.tokens, theirs.tokens, strict=False)
    differing = next((number for number, (one, other) in enumerate(pairs) if one != other), None)
    if differing is not None:
        return differing
    is_same = len(mine.tokens) == len(theirs.tokens) and mine.ended == theirs.ended
    return None if is_same else min(len(mine.tokens), len(theirs.tokens))
