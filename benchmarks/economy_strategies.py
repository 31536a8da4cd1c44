"""Why this module exists: these are the ways to be paid for less than honest work that we know of, one class each.

Whoever acts alone is a group of one; ``GROUPS`` are those whose players help each other. Each says what it hopes for.
"""

from __future__ import annotations

from benchmarks.economy_play import NUM_ROLLOUTS, Check, Costs, Player, Secret, Strategy, Work
from protocol.ids import STAGES, PeerId, Stage
from protocol.messages import Finding

PERFECT = dict.fromkeys(STAGES, 1000)
EVERYTHING = frozenset(range(NUM_ROLLOUTS))


class MakesUpEverything(Strategy):
    """Does no work: invents rollouts with the right answers, and a state."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        return Work(PERFECT, 0, Secret(EVERYTHING, false_step=True))


class SkipsTheStep(Strategy):
    """Draws its rollouts honestly and takes no training step: the largest part of the work."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        honest = super().work(number, player, costs)
        assert honest is not None
        return Work(honest.scores, costs.rollouts, Secret(false_step=True))


class Inflates(Strategy):
    """Does all the work and replaces one in ten rollouts, wrong ones, by right ones."""

    share = 10

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        honest = super().work(number, player, costs)
        assert honest is not None
        scores = {stage: min(1000, score + 1000 // self.share) for stage, score in honest.scores.items()}
        return Work(scores, honest.cost, Secret(frozenset(range(NUM_ROLLOUTS // self.share))))


class InflatesALittle(Inflates):
    """Replaces one rollout in a hundred, so that an audit seldom looks at one."""

    share = 100


class Copies(Strategy):
    """Publishes somebody else's rollouts as its own, and trains on them."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        honest = super().work(number, player, costs)
        assert honest is not None
        return Work(honest.scores, costs.step, Secret(EVERYTHING))


class CheatsNowAndThen(SkipsTheStep):
    """Skips every tenth step only, and keeps a high standing meanwhile."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        return super().work(number, player, costs) if number % 10 == 0 else Strategy.work(self, number, player, costs)


class SkipsWhileTrusted(SkipsTheStep):
    """Skips its step only while its standing is high, so that replays are rare; after a strike it earns it again."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        is_trusted = player.standing >= 900
        return super().work(number, player, costs) if is_trusted else Strategy.work(self, number, player, costs)


class ComesBackClean(SkipsTheStep):
    """Skips its step, and leaves its name and its bad standing behind whenever it is struck."""

    renews_when_struck = True


class FarmsTheFloor(Strategy):
    """Does honest work with a worthless model for the newcomers' floor, and is a newcomer again ten rounds later."""

    skill_milli = 120
    renews_after = 10


class SybilsOnTheFloor(SkipsTheStep):
    """Many names, each a newcomer for ten rounds, no training, a worthless model."""

    skill_milli = 120
    renews_after = 10


class Straggles(Strategy):
    """Saves nothing and answers so late in each critique that nobody can use it."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        honest = super().work(number, player, costs)
        assert honest is not None
        return Work(honest.scores, honest.cost, late=frozenset({Stage.CRITIQUE}))


class Picks(Strategy):
    """Shows its model the right answers only, as if the others had never arrived: perfect critiques and decisions."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        honest = super().work(number, player, costs)
        assert honest is not None
        scores = {**PERFECT, Stage.ANSWER: honest.scores[Stage.ANSWER]}
        return Work(scores, honest.cost, late=frozenset({Stage.CRITIQUE, Stage.DECIDE}))


class BestOfN(Strategy):
    """In an engine that is checked by tolerance only: samples four times, publishes the best, trains nothing, and is
    never seen."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        return Work(dict.fromkeys(STAGES, 900), 4 * costs.rollouts, replayable=False)


class TrainsNothing(Strategy):
    """In such an engine: samples once and trains nothing."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        honest = super().work(number, player, costs)
        assert honest is not None
        return Work(honest.scores, costs.rollouts, replayable=False)


class WritesAnswersDown(Strategy):
    """In such an engine, where not even tolerance is checked: right answers for no work at all."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        return Work(PERFECT, 0, replayable=False)


class Griefs(Strategy):
    """Does honest work, and accuses everybody whom it is drawn to check."""

    checks = False

    def says(self, author: PeerId, truth: Finding) -> Finding | None:
        return Finding.MISMATCH


class NeverChecks(Strategy):
    """Does honest work, and says of everybody's that it matches, without looking."""

    checks = False

    def says(self, author: PeerId, truth: Finding) -> Finding | None:
        return Finding.MATCH


class ChecksByHalves(Strategy):
    """Does honest work, looks at the drawn rollouts, and invents what a replay of the step yields."""

    def looks(self, author: PeerId, check: Check) -> tuple[int, bool]:
        return check.rollouts_cost, check.step_cost == 0


class NeverReviews(Strategy):
    """Does honest work, and says nothing of the verdicts on it."""

    def reviews(self, judge: PeerId, is_right: bool) -> bool | None:
        return None


class Doubts(Strategy):
    """Does honest work, and says of every verdict that it was made up."""

    def reviews(self, judge: PeerId, is_right: bool) -> bool | None:
        return False


class NeverSaysAnything(Strategy):
    """Does honest work, and no audits."""

    checks = False

    def says(self, author: PeerId, truth: Finding) -> Finding | None:
        return None


# --- who help each other ---------------------------------------------------------------------------------------------


class Colludes(SkipsTheStep):
    """Skips its step; of friends it says that all is well, to others it is honest."""

    def says(self, author: PeerId, truth: Finding) -> Finding | None:
        return Finding.MATCH if self.is_friend(author) else truth

    def reviews(self, judge: PeerId, is_right: bool) -> bool | None:
        return is_right or self.is_friend(judge)


class TradesWitnesses(Strategy):
    """Does honest work; friends hand each other what a check would yield, so that none of them checks another."""

    def looks(self, author: PeerId, check: Check) -> tuple[int, bool]:
        return (0, True) if self.is_friend(author) else super().looks(author, check)


class DoubtsOthers(Strategy):
    """Does honest work; says of every verdict of others that it was made up, and so do friends that are asked."""

    def reviews(self, judge: PeerId, is_right: bool) -> bool | None:
        return self.is_friend(judge)


class ColludesAndMakesUp(MakesUpEverything, Colludes):
    """Makes everything up; of friends it says that all is well."""


class Feuds(Colludes):
    """Skips its step, shields friends, and accuses everybody else, to have the pay of few rivals left."""

    def says(self, author: PeerId, truth: Finding) -> Finding | None:
        return Finding.MATCH if self.is_friend(author) else Finding.MISMATCH


class ChallengesFriends(Colludes):
    """Skips its step; a friend that audits it accuses it of something else, for friends to refute: a shield?"""

    def __init__(self) -> None:
        super().__init__()
        self._accused: set[PeerId] = set()

    def says(self, author: PeerId, truth: Finding) -> Finding | None:
        if not self.is_friend(author):
            return truth
        is_first = author not in self._accused
        self._accused ^= {author}  # whoever is asked next is an attestor, and refutes it
        return Finding.UNAVAILABLE if is_first else Finding.MATCH


class Withholds(Colludes):
    """Makes everything up and serves nothing; friends among the holders say that they keep it."""

    def work(self, number: int, player: Player, costs: Costs) -> Work | None:
        return Work(PERFECT, 0, Secret(EVERYTHING, false_step=True, withheld=True))

    def keeps(self, author: PeerId, secret: Secret) -> bool:
        return self.is_friend(author) or not secret.withheld


ALONE: dict[str, type[Strategy]] = {
    "makes up everything": MakesUpEverything,
    "skips the step": SkipsTheStep,
    "skips every tenth step": CheatsNowAndThen,
    "skips while trusted": SkipsWhileTrusted,
    "comes back clean": ComesBackClean,
    "inflates by a tenth": Inflates,
    "inflates by a hundredth": InflatesALittle,
    "copies": Copies,
    "farms the floor": FarmsTheFloor,
    "sybils on the floor": SybilsOnTheFloor,
    "straggles": Straggles,
    "picks what it shows": Picks,
    "best of four, not replayable": BestOfN,
    "trains nothing, not replayable": TrainsNothing,
    "writes answers, not replayable": WritesAnswersDown,
    "accuses everybody": Griefs,
    "does no audits": NeverSaysAnything,
    "audits without looking": NeverChecks,
    "audits by halves": ChecksByHalves,
    "doubts every verdict": Doubts,
}

GROUPS: dict[str, type[Strategy]] = {
    "colludes": Colludes,
    "colludes and makes up": ColludesAndMakesUp,
    "feuds": Feuds,
    "challenges friends": ChallengesFriends,
    "withholds": Withholds,
    "doubts others' verdicts": DoubtsOthers,
}
