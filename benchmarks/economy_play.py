"""Why this module exists: strategies are judged by the rules that a swarm runs by, so this plays rounds with those.

Draws, merits of verdicts, rulings, the ledger and standing are the program's own functions. What is simulated is only
what people decide: which work they do, what they say of others' work, and when they come back under another name. What
they hide is their *secret*, which an honest check of the drawn parts finds as the real one would.

A round: verdicts on what is pending -> contributions -> ledger -> proven cheats lose their stake -> ejections. Luck is
a hash of who, when and what for. Amounts in micro-credits; one token is one credit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from protocol.codec import content_id, content_id_of
from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.messages import CreditTable, Finding, Verdict
from protocol.run import AuditRules
from protocol.seeds import derive_seed
from rewards.economics import Economics
from rewards.ledger import Terms, Verified, apply, earned_micro, row_of
from rewards.pending import Ruling, losing, overdue, pending_in
from rewards.reputation import START, draw_weights, fault_of, standings, step_rate_ppm
from swarm.audit.judging import rule
from verde.draw import Drawn, draw, draw_rollouts, entitled, holder_order, receipts_needed
from verde.verdict import accusers

RUN = content_id(b"economy")
GENESIS = content_id(b"genesis")
NUM_ROLLOUTS = 768
"""Of one contribution: 32 questions, 8 samples, 3 stages."""

ALL_STAGES = frozenset(STAGES)


class Costs(msgspec.Struct, frozen=True):
    """What honest work costs in compute, as a price in micro-credits: a round's rollouts and its training step.
    Checking a rollout costs ``check_rollout``, replaying a step as much as taking it."""

    rollouts: int = 80_000
    step: int = 320_000
    check_rollout: int = 60


class Rules(msgspec.Struct, frozen=True):
    """What a world is played by. ``slashed_milli``: the share of its stake that a proven cheat loses; 0: nothing proves
    it on the chain, and only pay and standing are lost."""

    economics: Economics = Economics()
    audit: AuditRules = AuditRules("exact", 2, 1, 3, 16, 50_000, 3)
    costs: Costs = Costs()
    slashed_milli: int = 1000
    absence_rounds: int = 10
    barred_rounds: int = 10


class Secret(msgspec.Struct, frozen=True):
    """What a contribution hides: which rollouts are made up, another step than it should be, a state nobody serves."""

    made_up: frozenset[int] = frozenset()
    false_step: bool = False
    withheld: bool = False

    @property
    def is_provable(self) -> bool:
        """Whether a contract could be shown that it is false."""
        return bool(self.made_up) or self.false_step


class Check(msgspec.Struct, frozen=True):
    """What an honest check finds, how far it went, and what it cost."""

    finding: Finding
    level: int
    cost: int


class Work(msgspec.Struct, frozen=True):
    """What a player contributes: mean scores by stage, which stages were late, what it cost, what it hides."""

    scores: Mapping[Stage, int]
    cost: int
    secret: Secret = Secret()
    late: frozenset[Stage] = frozenset()
    replayable: bool = True


@dataclass
class Player:
    """One person: the identity that it plays under at the moment, and its purse over all identities."""

    name: str
    strategy: Strategy
    generation: int = 0
    joined: int = 1
    readmitted: int = 0
    out_until: int = 0
    spent: int = 0
    slashed: int = 0
    strikes: int = 0
    standing: int = START
    former: list[PeerId] = field(default_factory=list)

    @property
    def peer(self) -> PeerId:
        return PeerId(f"{self.name}/{self.generation}")


class Strategy:
    """An honest player; strategies differ from it. One instance per group of players that act together."""

    skill_milli = 600
    checks = True
    renews_after = 0
    """Rounds after which it takes its stake and comes back under another name; 0: never."""
    renews_when_struck = False

    def __init__(self) -> None:
        self.group: list[Player] = []

    def luck(self, number: int, player: Player, stage: str) -> int:
        """Mean score of a stage: skill and up to a tenth more or less."""
        return self.skill_milli - 100 + derive_seed("luck", number, player.name, stage) % 201

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        """What it contributes to round ``number``."""
        return Work({stage: self.luck(number, player, stage) for stage in STAGES}, costs.rollouts + costs.step)

    def says(self, author: PeerId, truth: Finding) -> Finding | None:
        """What it says as a drawn auditor or attestor; ``truth``: what it finds when it checks."""
        return truth

    def keeps(self, author: PeerId, secret: Secret) -> bool:
        """Whether it gives a receipt for a contribution."""
        return not secret.withheld

    def is_friend(self, peer: PeerId) -> bool:
        return any(player.peer == peer for player in self.group)


class World:
    """Players, their ledger and their purses. ``play`` moves on by some rounds."""

    def __init__(self, players: Sequence[tuple[str, Strategy]], rules: Rules) -> None:
        self.rules = rules
        self.players = [Player(name, strategy) for name, strategy in players]
        for player in self.players:
            player.strategy.group.append(player)
        self.table: CreditTable | None = None
        self.number = 0
        self._secrets: dict[ContentId, Secret] = {}

    def play(self, rounds: int) -> None:
        for _ in range(rounds):
            self.number += 1
            self._round()
        while pending_in(self.table):  # closing results, in which nobody contributes
            self.number += 1
            seated = {player.peer: player for player in self.players if player.out_until <= self.number}
            self._settle(seated, [], self._verdicts(seated))

    def net(self, player: Player) -> int:
        """What is left to a person: all it was paid, less compute and lost stakes."""
        rows = [row_of(self.table, peer) for peer in (*player.former, player.peer)]
        return sum(row.micro_credits for row in rows if row is not None) - player.spent - player.slashed

    # --- one round -------------------------------------------------------------------------------------------------

    def _round(self) -> None:
        seated = {player.peer: player for player in self.players if player.out_until <= self.number}
        ruling = self._verdicts(seated)
        works = self._contributions(seated, losing(self.table, ruling))
        struck = {pending_in(self.table)[content][0] for content in ruling.struck}
        self._settle(seated, works, ruling)
        for peer, player in seated.items():
            if peer != player.peer:
                continue
            self._eject(player)
            renews, age = player.strategy.renews_after, self.number - player.joined + 1
            if (renews and age >= renews) or (player.strategy.renews_when_struck and peer in struck):
                self._rename(player, self.number + 2)
        known = standings(self.table)
        for player in self.players:
            player.standing = known.get(player.peer, START)

    def _seed(self) -> ContentId:
        return content_id(f"seed of round {self.number}".encode())

    def _weights(self, seated: Mapping[PeerId, Player]) -> dict[PeerId, int]:
        return draw_weights(dict.fromkeys(seated, 1), self.table)

    def _verdicts(self, seated: Mapping[PeerId, Player]) -> Ruling:
        if self.table is None:
            return Ruling()
        weights, known, ledger = self._weights(seated), standings(self.table), content_id_of(self.table)
        drawn: dict[ContentId, Drawn] = {}
        said: dict[ContentId, list[Verdict]] = {}
        for content, (author, pending) in pending_in(self.table).items():
            drawn[content] = draw(
                self.rules.audit,
                self._seed(),
                ledger,
                content,
                author,
                weights,
                step_rate_ppm=step_rate_ppm(self.rules.audit.step_rate_ppm, known.get(author, START)),
                everything=pending.waited > 0,
            )
            check = self._check(ledger, content, drawn[content].step, everything=pending.waited > 0)
            said[content] = self._ask(seated, drawn[content].auditors, content, author, check)
            if accusers(drawn[content], said[content]):
                others = [peer for peer in drawn[content].attestors if peer not in drawn[content].auditors]
                said[content] += self._ask(seated, others, content, author, check)
        audit = self.rules.audit
        late = overdue(self.table, audit.patience_rounds)
        return rule(drawn, said, self.rules.economics, audit.step_rate_ppm, overdue=late)

    def _check(self, ledger: ContentId, content: ContentId, step: bool, *, everything: bool) -> Check:
        """What an honest check of the drawn parts finds: first the rollouts, then the step, like the real one."""
        secret, audit, costs = self._secrets[content], self.rules.audit, self.rules.costs
        if secret.withheld:
            return Check(Finding.UNAVAILABLE, 0, 0)
        num_drawn = NUM_ROLLOUTS if everything else min(NUM_ROLLOUTS, audit.rollouts_per_audit)
        is_seen = len(secret.made_up) == NUM_ROLLOUTS and num_drawn > 0
        if secret.made_up and not is_seen:  # else it does not matter which ones are drawn
            numbers = draw_rollouts(audit, self._seed(), ledger, content, NUM_ROLLOUTS, everything=everything)
            is_seen = not secret.made_up.isdisjoint(numbers)
        cost = num_drawn * costs.check_rollout
        if is_seen or not step:
            return Check(Finding.MISMATCH if is_seen else Finding.MATCH, 1, cost)
        return Check(Finding.MISMATCH if secret.false_step else Finding.MATCH, 2, cost + costs.step)

    def _ask(
        self,
        seated: Mapping[PeerId, Player],
        judges: Sequence[PeerId],
        content: ContentId,
        author: PeerId,
        check: Check,
    ) -> list[Verdict]:
        said = []
        for peer in judges:
            judge = seated[peer]
            finding = judge.strategy.says(author, check.finding)
            if judge.strategy.checks and not judge.strategy.is_friend(author):
                judge.spent += check.cost
            if finding is not None:
                said.append(Verdict(peer, content, check.level, finding, None, ()))
        return said

    def _contributions(self, seated: Mapping[PeerId, Player], lost: frozenset[PeerId]) -> list[Verified]:
        """What is recorded: work that enough drawn holders keep, of peers that do not stand on a struck step."""
        made: dict[PeerId, tuple[Player, Work]] = {}
        for peer, player in seated.items():
            work = player.strategy.work(self.number, player, self.rules.costs)
            if work is not None:
                player.spent += work.cost
                made[peer] = (player, work)
        weights = {peer: weight for peer, weight in self._weights(seated).items() if peer in made}
        num_holders, recorded = self.rules.audit.num_holders, []
        for peer, (_, work) in made.items():
            holders = entitled(holder_order(self._seed(), peer, weights), made, num_holders)
            receipts = sum(seated[holder].strategy.keeps(peer, work.secret) for holder in holders)
            is_kept = receipts >= receipts_needed(num_holders, len(weights.keys() - {peer}))
            if is_kept and peer not in lost:
                recorded.append(self._verified(peer, work))
        return recorded

    def _verified(self, peer: PeerId, work: Work) -> Verified:
        content = content_id(f"work of {peer} in {self.number}".encode())
        self._secrets[content] = work.secret
        row = row_of(self.table, peer)
        scores = {stage: (score,) for stage, score in work.scores.items()}
        return Verified(
            peer,
            content,
            earned_micro(scores, sorted(work.late), self.rules.economics.late_share_milli),
            row.state if row is not None else GENESIS,
            content_id(f"state of {peer} after {self.number}".encode()),
            punctual=not work.late and work.scores.keys() == ALL_STAGES,
            replayable=work.replayable,
        )

    def _settle(self, seated: Mapping[PeerId, Player], works: Sequence[Verified], ruling: Ruling) -> None:
        before = pending_in(self.table)
        terms = Terms(sorted(seated), GENESIS, self.rules.economics)
        self.table = apply(self.table, RUN, self.number, works, ruling, terms)
        owners = {peer: player for player in self.players for peer in (*player.former, player.peer)}
        for content in sorted(ruling.struck):
            owner, peer = owners[before[content][0]], before[content][0]
            owner.strikes += 1
            stake = self.rules.economics.min_stake_micro * self.rules.slashed_milli // 1000
            if self._secrets[content].is_provable and stake and peer == owner.peer:
                owner.slashed += stake  # and without a stake it is no member: it pays another one to come back
                self._rename(owner, self.number + 2)

    def _eject(self, player: Player) -> None:
        row = row_of(self.table, player.peer)
        since, absence = (player.joined, player.readmitted), self.rules.absence_rounds
        if row is not None and fault_of(row, self.number, absence, *since) is not None:
            player.out_until = self.number + 1 + self.rules.barred_rounds
            player.joined = player.readmitted = player.out_until

    def _rename(self, player: Player, joins: int) -> None:
        """Come back under another name, with a fresh stake."""
        player.former.append(player.peer)
        player.generation += 1
        player.joined = player.out_until = joins
        player.readmitted = 0
