"""Why this module exists: pay that is pending is looked at by somebody drawn, while the next round is played.

    ledger of the round before  ->  draws  ->  case (network)  ->  replay (engine's thread)  ->  verdict, in the DHT
                                                            accused by an auditor?  ->  the drawn attestors check, too

Everybody checks the same drawn part, so an honest verdict is the same whoever gives it. A verdict is on disk before it
is published and is never made a second time. What the verdicts come to is decided by ``verde.verdict``, by everybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial

from chain.requests import RequestStage
from protocol.codec import content_id, decode
from protocol.errors import BadRecord, NetworkError, VerificationError
from protocol.events import Audited, Problem, VerdictSeen
from protocol.ids import ContentId, PeerId
from protocol.messages import Contribution, CreditTable, Difference, Envelope, Finding, Pending, Proposal, Verdict
from protocol.run import TOLERANCE_CHECKED
from rewards.economics import economics_of
from rewards.pending import Ruling, overdue, pending_in, with_refuted
from rewards.reputation import START, draw_weights, standings, step_rate_ppm
from rewards.settlement import Judged
from swarm.audit.casework import Casework, StateMissing, finding_of
from swarm.audit.judging import rule
from swarm.audit.replay import Case, replay
from swarm.audit.reviewing import Reviews
from swarm.audit.saying import say
from swarm.audit.summons import Summons
from swarm.dht.transport import RecordKey
from swarm.rounds.inbox import Rejected
from swarm.rounds.work import Bench
from verde.draw import Drawn, draw, draw_rollouts
from verde.verdict import Decision, accusers, decide, votes
from verde.witness import witness_of

VERDICT = "verdict"

Accuse = Callable[[Case, int, Difference], Awaitable[None]]
"""Called with what differs, and at which level, before the verdict is told to anybody."""


class Audits:
    """One round's checks of what ``table`` (the latest recorded one when the round opened) has pending.

    ``seed`` and ``members`` (with their weights on the chain) are the round's. ``casework`` is ``None`` where nothing
    can be replayed. ``accuse``: what becomes of a lie that this peer is drawn to look for and finds (``None``: nothing
    but the verdict); attestors only confirm it. ``refuted``: what was proven false on the chain, and since when this
    peer knows it (unix seconds).
    """

    def __init__(
        self,
        bench: Bench,
        casework: Casework | None,
        round_number: int,
        seed: ContentId,
        members: Mapping[PeerId, int],
        table: CreditTable | None,
        ledger: ContentId,
        rejected: Rejected,
        accuse: Accuse | None = None,
        refuted: Callable[[], Mapping[ContentId, float]] = dict,
        summons: Summons | None = None,
    ) -> None:
        self._bench = bench
        self._summons = summons
        self._casework = casework
        self._round = round_number
        self._seed = seed
        self._members = list(members)
        self._table = table
        self._ledger = ledger
        self._rejected = rejected
        self._accuse = accuse
        self._refuted = refuted
        self._pending: dict[ContentId, tuple[PeerId, Pending]] = pending_in(table)
        self.weights = draw_weights(members, table)
        rules, known = bench.run.audit, standings(table)
        self._drawn: dict[ContentId, Drawn] = {
            content: draw(
                rules,
                seed,
                ledger,
                content,
                author,
                self.weights,
                step_rate_ppm=step_rate_ppm(rules.step_rate_ppm, known.get(author, START)),
                everything=pending.waited > 0,
            )
            for content, (author, pending) in self._pending.items()
        }
        self._verdicts: dict[ContentId, dict[ContentId, tuple[Verdict, float]]] = {}
        self._judged: set[tuple[PeerId, bytes]] = set()
        self._fetched: dict[ContentId, int] = {}
        self._checking: dict[ContentId, asyncio.Task[None]] = {}
        self._given_up: set[ContentId] = set()
        self._turn = asyncio.Lock()
        self._reviews = Reviews(bench, round_number, seed, ledger, self._pending, self._drawn, rejected)

    @property
    def authors(self) -> frozenset[PeerId]:
        """Whose pay is pending."""
        return frozenset(author for author, _ in self._pending.values())

    # --- checking --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin what this peer is drawn for; goes on in the background. Again changes nothing."""
        me = self._bench.signer.peer
        if self._casework is not None:
            self._reviews.start()
        for content, drawn in self._drawn.items():
            if me in drawn.auditors:
                self._begin(content)

    async def poll(self) -> None:
        """Read and review verdicts, and check what somebody accuses or doubts. Raises ``NetworkError`` like the
        transport."""
        if self._casework is None or not self._pending:
            return
        for task in self._checking.values():
            if task.done():
                task.result()  # a full disk, say, is this peer's own trouble
        key = RecordKey(self._bench.run.id, VERDICT, self._round)
        for signer, envelopes in (await self._bench.transport.collect_all(key)).items():
            for envelope in envelopes:
                self._take(signer, envelope)
        await self._reviews.poll(self._verdicts)
        me = self._bench.signer.peer
        for content, drawn in self._drawn.items():
            if me in drawn.attestors and self._asks_attestors(content, self._said(content)):
                self._begin(content)

    def is_done(self, alive: Collection[PeerId]) -> bool:
        """Whether nothing more is to be expected: every drawn auditor of ``alive`` has spoken, and every attestor of
        an accused contribution that is not decided, and all were reviewed. This peer is always among them."""
        if self._casework is None:
            return True
        me = self._bench.signer.peer
        for content, drawn in self._drawn.items():
            expected = {*alive, me} - ({me} if content in self._given_up else set())
            said = self._said(content)
            awaited = set(drawn.auditors)
            if accusers(drawn, said) and decide(drawn, said) is Decision.UNDECIDED:
                awaited |= set(drawn.attestors)
            if (awaited & expected) - {verdict.by for verdict in said}:
                return False
        return self._reviews.is_done({*alive, me}, self._verdicts)

    async def close(self) -> None:
        """Give up what is under way; a verdict that was not given until now is given by nobody."""
        for task in self._checking.values():
            task.cancel()
        await asyncio.gather(*self._checking.values(), return_exceptions=True)

    # --- judging ---------------------------------------------------------------------------------------------------

    def counting(self, *, by: float = float("inf")) -> list[ContentId]:
        """Verdicts and reviews that a proposal must name, sorted: the verdicts of the drawn auditors, and where one of
        them accuses or is doubted also the attestors', but none of who contradicts itself, nor any that its author had
        no time to review. ``by``: those seen until then (unix seconds)."""
        names = self._reviews.names(by=by)
        for content, known in self._verdicts.items():
            said, drawn = votes(verdict for verdict, _ in known.values()).values(), self._drawn[content]
            asked = (*drawn.auditors, *(drawn.attestors if self._asks_attestors(content, said) else ()))
            counted = {verdict for verdict in said if verdict.by in asked}
            names += (
                name
                for name, (verdict, at) in known.items()
                if verdict in counted and at <= by and self._reviews.may_be_named(verdict, at, by=by)
            )
        return sorted(names)

    def refuted(self, table: CreditTable | None, *, by: float = float("inf")) -> list[ContentId]:
        """Contributions with pending pay in ``table`` that were proven false, sorted. ``by``: as known until then."""
        known = self._refuted()
        return sorted(content for content in pending_in(table) if content in known and known[content] <= by)

    def ruling(
        self, named: Iterable[ContentId], table: CreditTable | None, refuted: Collection[ContentId] = ()
    ) -> Ruling:
        """What these verdicts and proven lies come to, on top of ``table``; verdicts that are not known here are left
        out.

        What the table has pending and had not when the round opened was recorded late: nobody could check it yet."""
        chosen = set(named)
        ruling = rule(
            self._drawn,
            {
                content: [verdict for name, (verdict, _) in known.items() if name in chosen]
                for content, known in self._verdicts.items()
            },
            economics_of(self._bench.run),
            self._bench.run.audit.step_rate_ppm,
            authors={content: author for content, (author, _) in self._pending.items()},
            reviews=self._reviews.chosen(chosen),
            overdue=overdue(self._table, self._bench.run.audit.patience_rounds),
            unseen=pending_in(table).keys() - self._pending.keys(),
        )
        return with_refuted(ruling, refuted)

    def judge(self, proposal: Proposal, table: CreditTable | None, arrived_by: float) -> Judged:
        """A proposal's verdicts and proven lies as this peer sees them. ``arrived_by``: what came until then must be
        named."""
        named, refuted = proposal.verdicts, proposal.refuted
        known = {name for verdicts in self._verdicts.values() for name in verdicts} | set(self._reviews.names())
        unknown = [name for name in named if name not in known]
        return Judged(
            self.ruling(named, table, refuted),
            unknown,
            self.counting(by=arrived_by),
            [content for content in refuted if content not in self.refuted(table)],
            self.refuted(table, by=arrived_by),
        )

    # --- inside ----------------------------------------------------------------------------------------------------

    def _asks_attestors(self, content: ContentId, said: Iterable[Verdict]) -> bool:
        return bool(accusers(self._drawn[content], said)) or self._reviews.is_doubted(content)

    def _said(self, content: ContentId) -> list[Verdict]:
        return [verdict for verdict, _ in self._verdicts.get(content, {}).values()]

    def _begin(self, content: ContentId) -> None:
        if content not in self._checking:
            self._checking[content] = asyncio.ensure_future(self._check(content))

    async def _check(self, content: ContentId) -> None:
        while True:
            try:
                envelope = await say(self._bench, VERDICT, self._round, content, partial(self._judge, content))
                break
            except NetworkError:
                await asyncio.sleep(1.0)
        if envelope is not None:
            self._take(self._bench.signer.peer, envelope)

    async def _judge(self, content: ContentId) -> Verdict | None:
        """What this peer finds, told to its own people; ``None`` where it has nothing to say to others."""
        bench, (author, pending) = self._bench, self._pending[content]
        started_at = bench.now()
        try:
            verdict = await self._find_verdict(content, author, pending)
        except Exception as error:  # a defect here must accuse nobody, and stop no round
            self._give_up(content, error)
            return None
        what = verdict.difference.what if verdict.difference is not None else ""
        took_s = bench.now() - started_at
        num_bytes = self._fetched.pop(content, 0)
        bench.events.append(
            Audited(pending.round, author, content, verdict.level, verdict.finding, what, took_s, num_bytes)
        )
        return verdict if self._casework is not None else None

    def _give_up(self, content: ContentId, error: Exception) -> None:
        self._given_up.add(content)
        self._bench.events.append(
            Problem(
                type(error).__name__,
                f"A check of the contribution {content[:16]}… failed here: {str(error)[:200]}",
                "This peer says nothing about it; others check it, and no credits are touched.",
                "If it stays, this is a defect of the program: please report it with the peer's log.",
            )
        )

    async def _summon(self, content: ContentId, author: PeerId, pending: Pending, *, of_state: bool) -> bool:
        """Ask on the chain for what nobody serves; whether it was shown there, so that it may be served by now.

        It is waited for as long as a round leaves time for it; who asked ends the request in any case."""
        if self._summons is None or self._casework is None:
            return False
        try:
            async with asyncio.timeout(self._bench.run.time.contribute_s):
                envelope = await self._casework.find(pending.round, author, content)
                if decode(envelope.payload, Contribution).engine in TOLERANCE_CHECKED:
                    return False  # what is checked by tolerance costs nobody its stake
                stage = await self._summons.demand(envelope, of_state=of_state, seed=self._seed)
        except (TimeoutError, BadRecord, NetworkError):
            return False
        return stage is RequestStage.SHOWN

    async def _find_verdict(
        self, content: ContentId, author: PeerId, pending: Pending, *, is_last: bool = False
    ) -> Verdict:
        bench, drawn = self._bench, self._drawn[content]
        me = bench.signer.peer
        if self._casework is None:
            return Verdict(me, content, 0, Finding.MATCH, None, ())
        others = [peer for peer in self._members if peer != me]
        try:
            case = await self._casework.open(pending.round, author, content, others)
            self._fetched[content] = case.num_bytes
            numbers = draw_rollouts(
                bench.run.audit,
                self._seed,
                self._ledger,
                content,
                case.num_rollouts,
                everything=pending.waited > 0,
            )
            async with self._turn:
                done = await bench.room.call(
                    replay,
                    bench.engine,
                    case,
                    numbers,
                    bench.run.learn.num_external,
                    level=2 if drawn.step else 1,
                    tolerance_ppm=bench.run.audit.tolerance_ppm,
                )
        except (BadRecord, VerificationError) as error:
            is_asked = me in drawn.auditors and not is_last and finding_of(error) is Finding.UNAVAILABLE
            if is_asked and await self._summon(content, author, pending, of_state=isinstance(error, StateMissing)):
                return await self._find_verdict(content, author, pending, is_last=True)
            return Verdict(me, content, 0, finding_of(error), Difference(error.what[:300]), ())
        if done.difference is None:
            self._reviews.came_across(content, done.found)
            witness = witness_of(me, content, done.found)
            return Verdict(me, content, done.level, Finding.MATCH, None, case.evidence, witness)
        may_be_proven = case.contribution.engine not in TOLERANCE_CHECKED
        if self._accuse is not None and me in drawn.auditors and may_be_proven:
            await self._accuse(case, done.level, done.difference)
        return Verdict(me, content, done.level, Finding.MISMATCH, done.difference, case.evidence)

    def _enough(self, drawn: Drawn) -> set[int]:
        """Levels of a match that did what was drawn. Steps of engines that are checked by tolerance are never taken
        again; who stops at level 1 with an exact one's is found out by its witness."""
        by_tolerance = not TOLERANCE_CHECKED.isdisjoint(self._bench.run.audit.engines)
        return {2 if drawn.step else 1, *([1] if by_tolerance else [])}

    def _take(self, signer: PeerId, envelope: Envelope) -> None:
        """Enter a verdict by somebody whose turn it is; anything else is dropped and told once."""
        if (signer, envelope.payload) in self._judged:
            return
        self._judged.add((signer, envelope.payload))
        try:
            verdict = decode(envelope.payload, Verdict)
            drawn = self._drawn.get(verdict.contribution)
            if verdict.by != signer:
                raise BadRecord("wrong_owner", "The verdict names another peer than its signer.")
            if drawn is None or signer not in (*drawn.auditors, *drawn.attestors):
                raise BadRecord("not_drawn", "It judges what its signer was not drawn for.")
            if verdict.level == 2 and not drawn.step:
                raise BadRecord("not_drawn", "It judges a training step that was not drawn.")
            if (verdict.finding is Finding.MATCH) == (verdict.difference is not None):
                raise BadRecord("malformed", "A verdict says what differs unless it found a match.")
            if (verdict.finding is Finding.MATCH) == (verdict.witness is None):
                raise BadRecord("malformed", "A verdict that found a match, and no other, has a witness.")
            if verdict.finding is Finding.MATCH and verdict.level not in self._enough(drawn):
                raise BadRecord("malformed", "A match was found by less than what was drawn.")
        except BadRecord as bad:
            self._rejected(bad, signer, VERDICT)
            return
        known = self._verdicts.setdefault(verdict.contribution, {})
        said_before = sum(one.by == signer for one, _ in known.values())
        if said_before < 2:  # two different ones are enough to know whose word counts for nothing
            known[content_id(envelope.payload)] = (verdict, self._bench.now())
        if said_before == 1:
            self._rejected(BadRecord("equivocation", "It contradicts another verdict of its signer."), signer, VERDICT)
        author, pending = self._pending[verdict.contribution]
        if signer != self._bench.signer.peer and not said_before:
            what = verdict.difference.what if verdict.difference is not None else ""
            self._bench.events.append(
                VerdictSeen(pending.round, author, verdict.contribution, signer, verdict.level, verdict.finding, what)
            )
