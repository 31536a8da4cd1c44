"""Why this module exists: what the game asks of a learning engine, whichever arithmetic is under it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from protocol.ids import ContentId

if TYPE_CHECKING:
    from verde.program.computation import Computation


LORA_RANK = 8
"""Of the thin matrices that are trained in a large model's place, where nobody chose another one."""

FULL_TRAINING_CAP = 50_000_000
"""Parameters. A model with more is trained through such adapters, where nobody chose otherwise."""


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn of a conversation: ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


Prompt = tuple[ChatMessage, ...]


class Sampling(msgspec.Struct, frozen=True):
    """How to draw tokens. ``temperature`` 0 is greedy (the seed is then without effect); ``top_k`` 0 is off."""

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0


class SampleRequest(msgspec.Struct, frozen=True):
    """One completion to draw: a function of (weights, prompt, seed, sampling) alone, not of its batch."""

    prompt: Prompt
    seed: int


class Completion(msgspec.Struct, frozen=True):
    """Token ids (end token included when ``ended``) and their text without special tokens.

    ``digest``: of the logits before each of its tokens, from an engine that is ``Replayable``; empty in claims."""

    tokens: tuple[int, ...]
    text: str
    ended: bool
    digest: bytes = b""


class TrainSample(msgspec.Struct, frozen=True):
    """One rollout to learn from. ``advantage`` is relative to its group: all samples of a step with an equal prompt.

    Zero-advantage samples keep their slot.
    """

    prompt: Prompt
    tokens: tuple[int, ...]
    advantage: float


class StepReport(msgspec.Struct, frozen=True):
    """What a training step did: mean loss, gradient norm before clipping (last update), tokens seen.

    ``digest``: of the gradients of all updates, from an engine that is ``Replayable``."""

    loss: float
    grad_norm: float
    num_tokens: int
    num_updates: int
    digest: bytes = b""


class Redrawn(msgspec.Struct, frozen=True):
    """A claimed completion as it was checked. ``position``: of the first token that the state would not have drawn (one
    past the last when it should have gone on, or ends differently), ``None`` where all of it is right. ``digest``: of
    the logits before each of its tokens."""

    position: int | None
    digest: bytes


class StateParts(msgspec.Struct, frozen=True):
    """A state as it is shipped: ``manifest`` (canonical bytes) names every chunk, ``chunks`` in its order."""

    manifest: bytes
    chunks: tuple[bytes, ...]


class Engine(Protocol):
    """Generate, learn, name and keep a state. Methods block; the node calls them outside its event loop."""

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]: ...

    def text_of(self, tokens: Sequence[int]) -> str:
        """Decoded text without special tokens; what ``Rollout.text`` must equal. ``ValueError`` for foreign ids."""
        ...

    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        """One round's policy updates on ``samples``, in an order fixed by ``seed`` and their index."""
        ...

    def state_hash(self) -> ContentId:
        """Content id of trainable tensors, optimiser moments and step count."""
        ...

    def save(self, directory: Path) -> None:
        """Write the state into ``directory`` (atomically: a crash leaves the old content or the new)."""
        ...

    def load(self, directory: Path) -> None:
        """Replace the state by a saved one. Raises ``ConfigError`` when the files are damaged or of another model."""
        ...


@runtime_checkable
class Replayable(Protocol):
    """What spot-checks ask of an engine whose results are the same bits everywhere. The native engine is none."""

    def parts(self) -> StateParts:
        """The present state as chunks; ``state_hash()`` is the Merkle root over them."""
        ...

    def replica(self, parts: StateParts) -> Engine:
        """Another engine of the same model, in a state from the network; this one is not touched.

        The replica is ``Replayable``, too. Raises ``VerificationError`` when a chunk is missing, cut off, too large or
        not what the manifest names, or when names, shapes or dtypes are not this model's. Nothing of it is executed.
        """
        ...

    def redraw(
        self, requests: Sequence[SampleRequest], sampling: Sampling, completions: Sequence[Completion]
    ) -> list[Redrawn]:
        """Whether the present state would have drawn these completions, and what doing so comes across. One prefill per
        batch. A completion that is right has the digest that drawing it had."""
        ...


@runtime_checkable
class Tolerant(Protocol):
    """What spot-checks ask of an engine to look at work whose last bits nobody can repeat.

    A completion follows from weights, prompt and seed there, too, but for rounding: so its tokens are read by one
    prefill, and each is compared with where the seed's number falls in the distribution.
    """

    def parts(self) -> StateParts:
        """The present state as chunks; ``state_hash()`` is the Merkle root over them."""
        ...

    def replica(self, parts: StateParts) -> Engine:
        """As of ``Replayable``."""
        ...

    def misses(
        self, requests: Sequence[SampleRequest], sampling: Sampling, completions: Sequence[Completion]
    ) -> list[float]:
        """For each completion the largest probability mass, 0 to 1, that lies between the number which the seed fixes
        for a position and the share of the token claimed there; 0 where every token is the one that is drawn."""
        ...


@runtime_checkable
class Provable(Protocol):
    """What disputes ask of an engine whose work can be written down as programs (``verde.program``).

    Both are pure, may be called beside the engine's own thread, and raise ``NotBuiltYet`` for models, rules and
    sampling that no program covers. They read the model's configuration and tokenizer, never its state.
    """

    def step_computation(self, samples: Sequence[TrainSample], seed: int) -> Computation:
        """The training step that ``step`` takes."""
        ...

    def draw_computation(self, request: SampleRequest, sampling: Sampling, tokens: Sequence[int]) -> Computation:
        """The check that ``tokens`` are what ``request`` draws."""
        ...


def parts_of(engine: Engine) -> StateParts | None:
    """The present state of an engine whose work others can check; ``None`` for any other, whose states are not
    shipped."""
    return engine.parts() if isinstance(engine, Replayable | Tolerant) else None
