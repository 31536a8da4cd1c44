from types import SimpleNamespace

import msgspec
import pytest

from chain.base import (
    ZERO_ROOT,
    Affirm,
    Challenge,
    ClockView,
    Epoch,
    EpochState,
    EpochsView,
    OpenEpoch,
    VoidEpoch,
)
from protocol.codec import encode
from protocol.errors import ChainUnreachable, NetworkError
from protocol.ids import ContentId
from swarm.pay.epochs import EpochWatch, is_due, is_time
from swarm.pay.testimony import Witnessed
from swarm.rounds.journal import Journal
from tests.swarm.pay.test_testimony import DOMAIN, EPOCH, PLAYERS, RESULT, known
from tests.swarm.small_swarm import ECONOMICS

pytestmark = pytest.mark.asyncio
replace = msgspec.structs.replace
RULES = replace(ECONOMICS, epoch_rounds=2, challenge_s=10, answer_s=8)


class Stage:
    """A chain, a network and a settler that do what they are told; ``sent`` is what the watch wanted done."""

    def __init__(self, folder):
        self.sent, self.told, self.signed, self.fails = [], [], {}, None
        self.view = ClockView(9, 1000, 1, 990, 1050, "ab" * 32, (), 0, ZERO_ROOT, ZERO_ROOT)
        self.found = EpochsView(1000, None, None, 0)
        self.journal = Journal(folder)
        bench = SimpleNamespace(
            run=SimpleNamespace(id=ContentId("cd" * 32), economics=RULES),
            contracts=DOMAIN,
            journal=self.journal,
            transport=self,
        )
        self.watch = EpochWatch(bench, self, self, SimpleNamespace(report=self.told.append))

    async def clock(self):
        return self.view

    async def epochs(self):
        if self.fails is not None:
            raise self.fails
        return self.found

    async def send_now(self, intent):
        self.sent.append(intent)

    async def collect_all(self, _key):
        if isinstance(self.signed, NetworkError):
            raise self.signed
        return self.signed

    def newest(self, state: EpochState, *, at: int = 100, answer_by: int = 0) -> None:
        epoch: Epoch = replace(EPOCH, state=state, answer_by=answer_by)
        self.found = EpochsView(at, epoch, None, 7)

    def keep(self, testimony: Witnessed) -> None:
        self.journal.write_testimony(7, RESULT.data_hash, encode(testimony))


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


@pytest.mark.parametrize(
    ("round", "settled", "due"), [(1, 0, False), (2, 1, False), (3, 0, False), (3, 1, True), (9, 8, True)]
)
async def test_an_epoch_is_opened_when_its_rounds_are_over_and_there_is_a_result(stage, round, settled, due):
    stage.view = replace(stage.view, round=round, settled_round=settled)
    await stage.watch.tend()
    assert stage.sent == ([OpenEpoch(settled)] if due else [])


async def test_nothing_is_opened_while_an_epoch_is_undecided(stage):
    stage.view = replace(stage.view, round=30, settled_round=29)
    for state in (EpochState.OPEN, EpochState.CHALLENGED):
        stage.newest(state, answer_by=200)
        await stage.watch.tend()
    assert stage.sent == []
    stage.newest(EpochState.FINAL)
    await stage.watch.tend()
    assert stage.sent == [OpenEpoch(29)]


async def test_what_could_not_be_recomputed_and_most_did_not_sign_is_challenged_in_the_second_half(stage):
    stage.keep(known(2, recomputed=False))
    stage.newest(EpochState.OPEN, at=EPOCH.opened_at + 4)
    await stage.watch.tend()
    assert stage.sent == [], "others may still sign"
    stage.newest(EpochState.OPEN, at=EPOCH.opened_at + 5)
    await stage.watch.tend()
    assert stage.sent == [Challenge(2)]


@pytest.mark.parametrize("testimony", [known(0, recomputed=True), known(3, recomputed=False), None])
async def test_what_holds_or_is_not_known_is_not_challenged(stage, testimony):
    if testimony is not None:
        stage.keep(testimony)
    stage.newest(EpochState.OPEN, at=EPOCH.opened_at + 9)
    await stage.watch.tend()
    assert stage.sent == []


async def test_a_challenge_is_answered_with_signatures_from_the_disk_and_the_network(stage):
    stage.keep(known(2, recomputed=True))
    stage.newest(EpochState.CHALLENGED, answer_by=200)
    await stage.watch.tend()
    assert stage.sent == [], "too few have signed"
    garbage = SimpleNamespace(payload=b"\x00")
    third = SimpleNamespace(payload=encode(PLAYERS[2].attest(RESULT, DOMAIN)))
    stage.signed = {PLAYERS[2].peer: (garbage, third)}
    await stage.watch.tend()
    (affirmation,) = stage.sent
    assert isinstance(affirmation, Affirm)
    assert (affirmation.epoch, affirmation.result, len(affirmation.signatures)) == (2, RESULT, 3)


async def test_a_challenge_that_nobody_answered_in_time_undoes_the_epoch(stage):
    stage.newest(EpochState.CHALLENGED, at=199, answer_by=200)
    await stage.watch.tend()
    assert stage.sent == []
    stage.newest(EpochState.CHALLENGED, at=200, answer_by=200)
    await stage.watch.tend()
    assert stage.sent == [VoidEpoch(2)]


async def test_a_chain_or_a_network_that_is_away_is_told_and_nothing_is_done(stage):
    stage.fails = ChainUnreachable("No answer.")
    await stage.watch.tend()
    assert (stage.sent, stage.told) == ([], [stage.fails])
    stage.fails, stage.signed = None, NetworkError("Nobody there.")
    stage.keep(known(2, recomputed=True))
    stage.newest(EpochState.CHALLENGED, answer_by=200)
    await stage.watch.tend()
    assert (stage.sent, len(stage.told)) == ([], 2)


async def test_an_ended_run_pays_out_whatever_is_recorded_and_an_undecided_epoch_holds_the_next_one_up(stage):
    view = replace(stage.view, round=2, settled_round=1)
    assert not is_due(stage.found, view, RULES)
    assert not is_due(replace(stage.found, ends_at=1001), view, RULES)
    ended = replace(stage.found, ends_at=1000)
    assert is_due(ended, view, RULES)
    assert not is_due(ended, replace(view, settled_round=0), RULES)
    stage.newest(EpochState.CHALLENGED, at=1000, answer_by=1100)
    later = replace(view, round=20, settled_round=19)
    assert is_time(stage.found, later, RULES)
    assert not is_due(stage.found, later, RULES)
