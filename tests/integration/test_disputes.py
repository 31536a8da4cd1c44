"""A lie in a real swarm goes to the contract by itself: real processes, arithmetic and network, a chain that decides.

Each case is a swarm of two honest peers and one that lies or accuses; what must come out is on the chain.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.events import (
    Audited,
    Claimed,
    DisputeDecided,
    DisputeMove,
    DisputeOpened,
    PeerStarted,
    RoundOpened,
    Struck,
)
from protocol.messages import Finding
from protocol.run import format_token
from swarm.settings.joining import read_join_file
from tests.integration.onchain import open_games, stakes, token_balances
from tests.integration.processes import Command, Family, PeerLog, environment, must_live, wait_until
from tests.swarm.lying import CHEATS

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
STAKE, BOND = 25_000_000, 10_000_000
RULES = {
    "SWARM_AUDIT__STEP_RATE_PPM": "1000000",
    "SWARM_AUDIT__ROLLOUTS_PER_AUDIT": "4096",
    "SWARM_AUDIT__NUM_AUDITORS": "2",
    "SWARM_GAME__NUM_QUESTIONS": "2",
    "SWARM_LEARN__NUM_EXTERNAL": "0",
    "SWARM_ECONOMICS__DISPUTE_S": "1200",
    "SWARM_ECONOMICS__TRACE_S": "240",
    "SWARM_ECONOMICS__MOVE_S": "120",
}
"""Every contribution is checked completely, and there is time for a game before it is paid."""

SLOW_S = 400.0
"""A trace takes a processor for ten seconds, and three peers want it at once."""


class Trial:
    """Two honest peers, and a third process that behaves as ``manners`` say."""

    def __init__(self, family: Family, folder: Path, manners: str, rules: dict[str, str]) -> None:
        self.family, self.folder = family, folder
        self.home = folder / "home"
        arguments = ["local", "--peers", "2", "--no-tui", "--home", str(self.home)]
        self.settings = RULES | rules
        self.swarm = Command(family, folder, arguments, self.settings)
        must_live[:] = [self.swarm]
        self.honest = [PeerLog(self.home, name) for name in ("1", "2")]
        for log in self.honest:
            log.wait(RoundOpened, timeout_s=SLOW_S)
        self.token = format_token(read_join_file(self.home / "join.yaml"))
        self.place = folder / "third"
        self.manners = manners
        self.third = self.begin()
        self.log = PeerLog(self.place, "1")
        self.peer = self.log.wait(PeerStarted, timeout_s=SLOW_S).peer
        self.wallet = self.log.last(PeerStarted).address

    def begin(self) -> subprocess.Popen[bytes]:
        """The third process, for the first time or once more."""
        with (self.folder / "told").open("ab") as told:
            command = [sys.executable, "-m", "tests.swarm.lying", self.manners, "run", "--join", self.token]
            return subprocess.Popen(
                [*command, "--home", str(self.place)],
                cwd=ROOT,
                env=environment(self.family, self.settings),
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
            )

    def decided(self, num: int = 1, timeout_s: float = 2 * SLOW_S) -> list[DisputeDecided]:
        """The games that the first honest peer saw the end of."""
        log = self.honest[0]

        def enough() -> list[DisputeDecided] | None:
            found = log.all(DisputeDecided)
            return found if len(found) >= num else None

        return wait_until(enough, f"{num} games decided: {self.told()}", timeout_s)  # type: ignore[no-any-return]

    def told(self) -> str:
        return (self.folder / "told").read_text(errors="replace")[-2000:]

    def end(self) -> None:
        must_live.clear()
        if self.third.poll() is None:
            self.third.kill()
        self.swarm.signal(signal.SIGTERM)
        self.swarm.wait()


@pytest.fixture
def trial(family: Family, tmp_path: Path) -> Iterator[type]:
    made: list[Trial] = []

    def begin(manners: str, **rules: str) -> Trial:
        made.append(Trial(family, tmp_path, manners, rules))
        return made[-1]

    yield begin  # type: ignore[misc]
    must_live.clear()
    for one in made:
        one.third.kill()
    family.end()


def check_conviction(trial: Trial) -> None:
    """The cheat's stake is gone, and half of it is the challenger's who won first, and who has its bond back."""
    log = trial.honest[0]

    def taken() -> DisputeDecided | None:
        # Both honest peers may play; the game that came second takes nothing more.
        return next((one for one in log.all(DisputeDecided) if one.slashed_micro), None)

    first = wait_until(taken, "a stake that is taken", SLOW_S)
    assert (first.winner, first.peer, first.slashed_micro) == ("challenger", trial.peer, STAKE)
    assert {(one.winner, one.peer) for one in log.all(DisputeDecided)} == {("challenger", trial.peer)}
    trial.end()
    opened = {one.game: one for one in log.all(DisputeOpened)}
    challenger = opened[first.game].challenger
    started = [log.last(PeerStarted) for log in trial.honest]
    claimed = {
        one.address: sum(event.amount_wei for event in log.all(Claimed))
        for one, log in zip(started, trial.honest, strict=True)
    }
    balances = token_balances(trial.home, [*claimed])
    staked = stakes(trial.home, [trial.peer, *(one.peer for one in started)])
    assert staked.pop(trial.peer) == 0
    assert set(staked.values()) == {STAKE * 10**12}
    # The bond came from the faucet when it was needed first, and is back; one more lies in each game that goes on.
    going_on = open_games(trial.home, [challenger])[challenger]
    assert balances[challenger] - claimed[challenger] == (BOND + STAKE // 2 - going_on * BOND) * 10**12


DISPUTED = [
    "one_token_changed", "other_seeds", "other_weights", "one_advantage_altered", "update_skipped",
    "one_bit_of_one_moment", "other_learning_rate",
]  # fmt: skip


def again(cheat: str) -> str:
    """The same lie in every other contribution: a model that is sure of itself may draw the same tokens with other
    weights, and where all answers are right there is no gradient that another learning rate could scale."""
    return ",".join([cheat] * 20)


@pytest.mark.parametrize("cheat", DISPUTED)
@pytest.mark.parametrize("manners", ["", "forging:"], ids=["honest-trace", "forged-trace"])
def test_a_cheat_is_convicted_by_the_contract(trial, manners: str, cheat: str) -> None:
    """The dispute runs by itself, from the audit to the leaf (or to the result that its own trace contradicts)."""
    game = trial(manners + again(cheat))
    decided = game.decided()
    moves = game.honest[0].all(DisputeMove, game=decided[0].game)
    assert [one.number for one in moves] == list(range(1, decided[0].num_moves + 1))
    last = "Leaf" if manners else ("ShowStep" if decided[0].num_moves == 2 and moves[-1].name == "ShowStep" else None)
    assert moves[-1].name == (last or "ShowResult")
    assert all(one.gas > 0 for one in moves)
    level = CHEATS[cheat][1]
    assert (game.peer, level, Finding.MISMATCH) in {
        (one.peer, one.level, one.finding) for log in game.honest for one in log.all(Audited)
    }
    for log in game.honest:
        log.wait(Struck, peer=game.peer, timeout_s=SLOW_S)
    check_conviction(game)


def test_a_cheat_that_keeps_silent_loses_by_the_clock(trial) -> None:
    game = trial(f"silent:{again('update_skipped')}", SWARM_ECONOMICS__TRACE_S="15")
    decided = game.decided()
    assert decided[0].by_clock
    check_conviction(game)


def test_who_accuses_an_honest_peer_loses_its_bond(trial) -> None:
    game = trial("accusing:")
    decided = game.decided()
    assert {(one.winner, one.slashed_micro) for one in decided} == {("defender", 0)}
    accused = {one.peer for one in decided}
    opened = game.honest[0].all(DisputeOpened)
    assert {one.challenger for one in opened} == {game.wallet}
    game.end()
    logs = {log.last(PeerStarted).peer: log for log in game.honest}
    wallets = {peer: log.last(PeerStarted).address for peer, log in logs.items()}
    balances = token_balances(game.home, [*wallets.values(), game.wallet])
    assert set(stakes(game.home, [*wallets]).values()) == {STAKE * 10**12}
    ended = game.honest[0].all(DisputeDecided)
    for peer, address in wallets.items():
        earned = sum(event.amount_wei for event in logs[peer].all(Claimed))
        won = sum(one.peer == peer for one in ended)
        assert balances[address] - earned == won * BOND * 10**12 // 2
    assert balances[game.wallet] < BOND * 10**12, "its bond is lost"
    assert accused <= set(wallets)


@pytest.mark.parametrize("killed", ["challenger", "defender"])
def test_either_side_goes_on_after_kill_9(trial, killed: str) -> None:
    """Killed in the middle of the search; the launcher starts the honest peer again, the test the cheat."""
    game = trial(f"forging:{again('one_bit_of_one_moment')}")
    log = game.honest[0]
    log.wait(DisputeMove, timeout_s=2 * SLOW_S, number=3)
    opened = log.last(DisputeOpened)
    if killed == "defender":
        game.third.kill()
        game.third.wait()
        game.third = game.begin()
    else:
        mine = next(one for one in game.honest if one.last(PeerStarted).address == opened.challenger)
        os.kill(mine.pid(), signal.SIGKILL)
    decided = log.wait(DisputeDecided, game=opened.game, timeout_s=2 * SLOW_S)
    assert (decided.winner, decided.by_clock) == ("challenger", False)
    check_conviction(game)
