"""Why this module exists: everything that a peer may do to be paid for work that it did not do, listed once.

Each cheat is a whole, real peer whose engine lies for it, or whose transport does (``tests.swarm.hostile``). What it
publishes is well-formed, signed and scores what it says; only doing the work again tells. ``level`` is what must catch
it: 1 sampled rollouts, 2 the training step.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from chain.base import Contracts
from identity.signer import Signer
from protocol.codec import content_id, decode, encode
from protocol.errors import BadRecord
from protocol.ids import ContentId, PeerId
from protocol.messages import CreditTable, Difference, Envelope, Finding, Receipt, Review, RolloutBatch, Verdict
from swarm.dht.transport import RecordKey
from swarm.policy.base import Completion, Redrawn, SampleRequest, Sampling, StateParts, TrainSample
from swarm.policy.fake import END_TOKEN, FakeEngine
from tests.swarm.hostile import HostileTransport, Misdeed


class CheatingEngine:
    """A ``FakeEngine`` that lies wherever a subclass says so; everything else is honest."""

    def __init__(self, inner: FakeEngine) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        return self.inner.generate(requests, sampling)

    def step(self, samples: Sequence[TrainSample], seed: int) -> Any:
        return self.inner.step(samples, seed)

    def parts(self) -> StateParts:
        return self.inner.parts()

    def replica(self, parts: StateParts) -> Any:
        return self.inner.replica(parts)

    def redraw(self, *given: Any) -> list[Redrawn]:
        return self.inner.redraw(*given)

    def said(self, words: bytes, sampling: Sampling) -> Completion:
        tokens = (*words, END_TOKEN)[: sampling.max_new_tokens]
        return Completion(tokens, self.inner.text_of(tokens), tokens[-1:] == (END_TOKEN,))


def is_exam(sampling: Sampling) -> bool:
    return sampling.temperature == 0


class OneTokenChanged(CheatingEngine):
    """One letter of one completion is another than what was drawn."""

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        first, *rest = self.inner.generate(requests, sampling)
        tokens = (first.tokens[0] ^ 1, *first.tokens[1:])
        return [Completion(tokens, self.inner.text_of(tokens), first.ended), *rest]


class OtherSeeds(CheatingEngine):
    """It draws until it likes what it sees."""

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        return self.inner.generate([SampleRequest(one.prompt, one.seed + 1) for one in requests], sampling)


class OtherTemperature(CheatingEngine):
    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        return self.inner.generate(requests, msgspec.structs.replace(sampling, temperature=0.5))


class OtherWeights(CheatingEngine):
    """A better model answers than the one whose state is named."""

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        if is_exam(sampling):
            return self.inner.generate(requests, sampling)
        better = self.inner.replica(self.inner.parts())
        better.step([TrainSample(requests[0].prompt, (1, END_TOKEN), 1.0)], 99)
        return better.generate(requests, sampling)


class RightAnswersWritten(CheatingEngine):
    """The task is easy to solve with a program, and nobody asked the model."""

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        written = []
        for request, drawn in zip(requests, self.inner.generate(requests, sampling), strict=True):
            number = int(request.prompt[-1].content.split("*")[1].split("=")[0])
            right = f"<answer>{2 * number}</answer>"
            is_answer = drawn.text.startswith("<think>")
            written.append(self.said(f"<think>double</think>{right}".encode(), sampling) if is_answer else drawn)
        return written


class OneAdvantageAltered(CheatingEngine):
    def step(self, samples: Sequence[TrainSample], seed: int) -> Any:
        first, *rest = samples
        return self.inner.step([msgspec.structs.replace(first, advantage=first.advantage + 0.5), *rest], seed)


class UpdateSkipped(CheatingEngine):
    """It hashes something new, and learns nothing: the claimed state is the old one with another step count."""

    def step(self, samples: Sequence[TrainSample], seed: int) -> Any:
        report = self.inner.replica(self.inner.parts()).step(samples, seed)
        self.inner._state = msgspec.structs.replace(self.inner._state, step=self.inner._state.step + 1)
        return report


class FewerRollouts(CheatingEngine):
    """It trains on half of the rollouts that it says it trained on."""

    def step(self, samples: Sequence[TrainSample], seed: int) -> Any:
        return self.inner.step(list(samples)[: len(samples) // 2], seed)


class OneBitOfOneMoment(CheatingEngine):
    def step(self, samples: Sequence[TrainSample], seed: int) -> Any:
        report = self.inner.step(samples, seed)
        state = self.inner._state
        flipped = bytes([state.moments[0] ^ 1]) + state.moments[1:]
        self.inner._state = msgspec.structs.replace(state, moments=flipped)
        return report


class OtherLearningRate(CheatingEngine):
    def step(self, samples: Sequence[TrainSample], seed: int) -> Any:
        self.inner._learning_rate, kept = 2, self.inner._learning_rate
        report = self.inner.step(samples, seed)
        self.inner._learning_rate = kept
        return report


class Thief:
    """What one peer overhears from another's engine, to publish it as its own."""

    def __init__(self) -> None:
        self.overheard: list[list[Completion]] = []

    def victim(self, inner: FakeEngine) -> CheatingEngine:
        overheard = self.overheard

        class Overheard(CheatingEngine):
            def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
                drawn = self.inner.generate(requests, sampling)
                if not is_exam(sampling):
                    overheard.append(drawn)
                return drawn

        return Overheard(inner)

    def copying(self, inner: FakeEngine) -> CheatingEngine:
        overheard = self.overheard

        class Copying(CheatingEngine):
            def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
                honest = self.inner.generate(requests, sampling)
                return honest if is_exam(sampling) or not overheard else overheard[-1]

        return Copying(inner)


ENGINES: dict[str, tuple[Callable[[FakeEngine], CheatingEngine], int]] = {
    "one_token_changed": (OneTokenChanged, 1),
    "other_seeds": (OtherSeeds, 1),
    "other_temperature": (OtherTemperature, 1),
    "other_weights": (OtherWeights, 1),
    "right_answers_written": (RightAnswersWritten, 1),
    "one_advantage_altered": (OneAdvantageAltered, 2),
    "update_skipped": (UpdateSkipped, 2),
    "fewer_rollouts": (FewerRollouts, 2),
    "one_bit_of_one_moment": (OneBitOfOneMoment, 2),
    "other_learning_rate": (OtherLearningRate, 2),
}


# --- what a hostile peer publishes or serves -------------------------------------------------------------------------


Change = Callable[[HostileTransport, Envelope], Envelope | None]


class Publishing(HostileTransport):
    """Publishes records of ``kind`` as ``change`` makes them (``None``: not at all), everything else honestly."""

    def __init__(self, inner: Any, signer: Signer, contracts: Contracts, kind: str, change: Change) -> None:
        super().__init__(inner, signer, contracts, lambda _: None)
        self._kind = kind
        self._change = change

    async def publish(self, envelope: Envelope, *, ttl_s: float) -> None:
        changed = self._change(self, envelope) if envelope.kind == self._kind else envelope
        if changed is not None and changed is not envelope:
            await self.send(changed)
        elif changed is not None:
            await super().publish(envelope, ttl_s=ttl_s)


def accusing(peer: HostileTransport, envelope: Envelope) -> Envelope:
    """The auditor says of everything that it is false."""
    verdict = decode(envelope.payload, Verdict)
    complaint = Difference("I do not like it.")
    lie = msgspec.structs.replace(verdict, finding=Finding.MISMATCH, difference=complaint, witness=None)
    return peer.seal(envelope, encode(lie))


def praising(peer: HostileTransport, envelope: Envelope) -> Envelope:
    """The auditor says of everything that it is right, without having looked: it makes a witness up."""
    verdict = decode(envelope.payload, Verdict)
    blind = Verdict(verdict.by, verdict.contribution, 2, Finding.MATCH, None, verdict.evidence, content_id(b"blind"))
    return peer.seal(envelope, encode(blind))


def doubting(peer: HostileTransport, envelope: Envelope) -> Envelope | None:
    """The author says of every auditor that its witness is made up."""
    review = decode(envelope.payload, Review)
    return peer.seal(envelope, encode(msgspec.structs.replace(review, is_right=False)))


class Withholding(HostileTransport):
    """Serves its batches and tables, but of its states only what ``instead`` makes of each blob (``None``: nothing)."""

    def __init__(
        self, inner: Any, signer: Signer, contracts: Contracts, instead: Callable[[bytes], bytes | None]
    ) -> None:
        serving = Misdeed("withholding", "", "", serve=self._serve_instead)
        super().__init__(inner, signer, contracts, lambda _: serving)
        self._misdeed = serving
        self._instead = instead

    async def _serve_instead(
        self, _: HostileTransport, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        blob = self.inner._blobs._known(ContentId((await reader.readexactly(32)).hex()))
        if blob and not is_readable(blob):
            blob = self._instead(blob)
        writer.write((b"\0" if blob else b"\1") + len(blob or b"").to_bytes(8, "big") + (blob or b""))
        await writer.drain()
        writer.close()


def is_readable(blob: bytes) -> bool:
    """Whether it is something that every round needs, and not a part of a state."""
    for kind in (RolloutBatch, CreditTable):
        with contextlib.suppress(BadRecord):
            decode(blob, kind, cap=1 << 26)
            return True
    return False


class Colluding(HostileTransport):
    """Signs a receipt for whatever ``friend`` contributed, without having anything of it."""

    def __init__(self, inner: Any, signer: Signer, contracts: Contracts, friend: PeerId) -> None:
        super().__init__(inner, signer, contracts, lambda _: None)
        self._friend = friend
        self._done: set[bytes] = set()

    async def collect_all(self, key: RecordKey) -> dict[PeerId, tuple[Envelope, ...]]:
        found = await super().collect_all(key)
        for envelope in found.get(self._friend, ()) if key.kind == "contribution" else ():
            if envelope.payload not in self._done:
                self._done.add(envelope.payload)
                receipt = encode(Receipt(content_id(envelope.payload)))
                await self.inner.publish(
                    self.signer.seal(envelope.run, "receipt", envelope.round, receipt, self.contracts), ttl_s=600.0
                )
        return found
