"""Why this module exists: whoever made a contribution can tell at once whether a "match" on it was made up, and does.

    author              from its own notes: each verdict's witness is right, or made up        always said
    auditor, attestor   from a check of its own: likewise                                      said where it matters

What the reviews come to is decided by ``verde.review``, by everybody. A verdict is named in a result once the author
has spoken, or has had ``contribute_s`` for it: a silent author denies nobody's pay, and a verdict that comes too late
to be looked at is not paid.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from protocol.codec import content_id, content_id_of, decode
from protocol.errors import BadRecord
from protocol.events import WitnessDoubted
from protocol.ids import STAGES, ContentId, PeerId
from protocol.messages import Contribution, Envelope, Finding, Pending, Review, Verdict
from protocol.run import TOLERANCE_CHECKED
from swarm.audit.saying import say
from swarm.dht.transport import RecordKey
from swarm.rounds.inbox import CONTRIBUTION, Rejected
from swarm.rounds.work import STEP_NOTE, Bench
from verde.draw import Drawn, draw_rollouts
from verde.review import doubted, may_review, undecided
from verde.verdict import votes
from verde.witness import Yield, witness_of, yield_of

REVIEW = "review"

Seen = Mapping[ContentId, Mapping[ContentId, tuple[Verdict, float]]]
"""Verdicts by contribution and name, and when they came (unix seconds)."""


class Reviews:
    """One round's reviews of verdicts on what is ``pending``. ``drawn``: who checks what; ``seed``, ``ledger``: as in
    ``swarm.audit.auditing.Audits``."""

    def __init__(
        self,
        bench: Bench,
        round_number: int,
        seed: ContentId,
        ledger: ContentId,
        pending: Mapping[ContentId, tuple[PeerId, Pending]],
        drawn: Mapping[ContentId, Drawn],
        rejected: Rejected,
    ) -> None:
        self._bench = bench
        self._round = round_number
        self._seed = seed
        self._ledger = ledger
        self._pending = pending
        self._drawn = drawn
        self._rejected = rejected
        self._found: dict[ContentId, Yield] = {}
        self._known: dict[ContentId, dict[ContentId, tuple[Review, float]]] = {}
        self._judged: set[tuple[PeerId, bytes]] = set()
        self._said: set[tuple[ContentId, PeerId]] = set()

    def start(self) -> None:
        """Look up what this peer's own work yielded, in its notes."""
        me = self._bench.signer.peer
        for content, (author, pending) in self._pending.items():
            found = self._from_notes(content, pending) if author == me else None
            if found is not None:
                self._found[content] = found

    def came_across(self, content: ContentId, found: Yield) -> None:
        """Keep what a check of this peer's own yielded."""
        self._found[content] = found

    async def poll(self, verdicts: Seen) -> None:
        """Read reviews, and say what this peer knows of ``verdicts``. Raises ``NetworkError`` like the transport."""
        key = RecordKey(self._bench.run.id, REVIEW, self._round)
        for signer, envelopes in (await self._bench.transport.collect_all(key)).items():
            for envelope in envelopes:
                self._take(signer, envelope)
        me = self._bench.signer.peer
        for content, found in tuple(self._found.items()):  # checks of this peer's own go on meanwhile
            is_author = self._pending[content][0] == me
            for judge, verdict in _matches(verdicts, content).items():
                is_right = verdict.witness == witness_of(judge, content, found)
                is_asked = is_author or not is_right or judge in self._doubted(content)
                if judge != me and is_asked and (content, judge) not in self._said:
                    await self._say(Review(me, content, judge, is_right))
                    self._said.add((content, judge))

    def is_doubted(self, content: ContentId) -> bool:
        """Whether somebody says that a verdict on it was made up: then the attestors do the check, too."""
        return bool(self._doubted(content))

    def is_done(self, alive: Collection[PeerId], verdicts: Seen) -> bool:
        """Whether no review that somebody of ``alive`` owes is still to be waited for."""
        for content in self._drawn:
            author = self._pending[content][0]
            said = _matches(verdicts, content)
            if author in alive and any(
                judge != author and not self.is_reviewed(content, judge) and self._is_early(verdicts, content, judge)
                for judge in said
            ):
                return False
            cannot = {verdict.by for verdict, _ in verdicts.get(content, {}).values()} - said.keys()
            waiting = undecided(self._drawn[content], author, self._reviews(content))
            if any((peers - cannot) & set(alive) for peers in waiting.values()):
                return False
        return True

    def is_reviewed(self, content: ContentId, judge: PeerId, *, by: float = float("inf")) -> bool:
        """Whether the author of ``content`` had its say about ``judge``'s verdict until ``by`` (unix seconds)."""
        author = self._pending[content][0]
        return any(
            review.judge == judge and review.by == author and at <= by
            for review, at in self._known.get(content, {}).values()
        )

    def may_be_named(self, verdict: Verdict, at: float, *, by: float) -> bool:
        """Whether a verdict that came ``at`` was reviewed until ``by``, or its author had time enough for it."""
        if verdict.finding is not Finding.MATCH or self.is_reviewed(verdict.contribution, verdict.by, by=by):
            return True
        return at + self._bench.run.time.contribute_s <= min(by, self._bench.now())

    def names(self, *, by: float = float("inf")) -> list[ContentId]:
        """Reviews that a proposal must name; ``by``: those seen until then."""
        return [name for known in self._known.values() for name, (_, at) in known.items() if at <= by]

    def chosen(self, named: Collection[ContentId]) -> dict[ContentId, list[Review]]:
        """The reviews among ``named``, by contribution."""
        return {
            content: [review for name, (review, _) in known.items() if name in named]
            for content, known in self._known.items()
        }

    # --- inside ----------------------------------------------------------------------------------------------------

    def _reviews(self, content: ContentId) -> list[Review]:
        return [review for review, _ in self._known.get(content, {}).values()]

    def _doubted(self, content: ContentId) -> frozenset[PeerId]:
        return doubted(self._drawn[content], self._pending[content][0], self._reviews(content))

    def _is_early(self, verdicts: Seen, content: ContentId, judge: PeerId) -> bool:
        """Whether the author may still be at it."""
        came = min(at for verdict, at in verdicts[content].values() if verdict.by == judge)
        return self._bench.now() < came + self._bench.run.time.contribute_s

    def _from_notes(self, content: ContentId, pending: Pending) -> Yield | None:
        journal, drawn = self._bench.journal, self._drawn[content]
        kept = journal.read(pending.round, CONTRIBUTION)
        if kept is None or content_id(kept[0].payload) != content:
            return None
        notes = [digest for stage in STAGES for digest in journal.notes(pending.round, stage)]
        made = decode(kept[0].payload, Contribution)
        if made.engine in TOLERANCE_CHECKED:
            return Yield()  # a check by tolerance comes across nothing, and the others wait for this peer's word
        if len(notes) != len(made.scores_milli):
            return None
        numbers = draw_rollouts(
            self._bench.run.audit,
            self._seed,
            self._ledger,
            content,
            len(notes),
            everything=pending.waited > 0,
        )
        step = b"".join(journal.notes(pending.round, STEP_NOTE))
        return yield_of(notes, step, numbers, 2 if drawn.step else 1)

    async def _say(self, review: Review) -> None:
        async def find() -> Review:
            return review

        about = content_id_of((review.contribution, review.judge))
        envelope = await say(self._bench, REVIEW, self._round, about, find)
        assert envelope is not None
        self._take(self._bench.signer.peer, envelope)

    def _take(self, signer: PeerId, envelope: Envelope) -> None:
        """Enter a review by somebody entitled; anything else is dropped and told once."""
        if (signer, envelope.payload) in self._judged:
            return
        self._judged.add((signer, envelope.payload))
        try:
            review = decode(envelope.payload, Review)
            drawn = self._drawn.get(review.contribution)
            if review.by != signer:
                raise BadRecord("wrong_owner", "The review names another peer than its signer.")
            if drawn is None or signer not in may_review(drawn, self._pending[review.contribution][0]):
                raise BadRecord("not_drawn", "It reviews a verdict on what its signer neither made nor was drawn for.")
            if review.judge == signer or review.judge not in (*drawn.auditors, *drawn.attestors):
                raise BadRecord("not_drawn", "It reviews its signer's own verdict, or one of somebody not drawn.")
        except BadRecord as bad:
            self._rejected(bad, signer, REVIEW)
            return
        known = self._known.setdefault(review.contribution, {})
        known[content_id(envelope.payload)] = (review, self._bench.now())
        if not review.is_right:
            author, pending = self._pending[review.contribution]
            told = WitnessDoubted(pending.round, author, review.contribution, review.judge, signer)
            self._bench.events.append(told)


def _matches(verdicts: Seen, content: ContentId) -> dict[PeerId, Verdict]:
    """Verdicts that say "match", one per judge; of who contradicts itself none."""
    said: Iterable[Verdict] = (verdict for verdict, _ in verdicts.get(content, {}).values())
    return {peer: verdict for peer, verdict in votes(said).items() if verdict.finding is Finding.MATCH}
