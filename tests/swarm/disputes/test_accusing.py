"""What is accused and when: no bond for nothing, no lie that gets away, and a wallet without money is told so once."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from chain.base import OpenDispute
from chain.fake import FakeChain
from chain.games import WHOLE_STEP, GameSide
from protocol.events import DisputeNotPossible, DisputeOpened, Problem, Progress, Recovered
from protocol.messages import Difference
from swarm.disputes.ordering import Order, Orders
from tests.swarm.disputes.arena import Arena, accusing
from tests.swarm.disputes.test_player import BOND, PURSE, flip_a_bit, skip_the_update

pytestmark = pytest.mark.asyncio


@pytest.fixture
def arena(tmp_path):
    return Arena(tmp_path)


async def test_a_second_lie_waits_for_the_first_game_and_costs_no_bond_once_it_is_struck(arena):
    eve, ann = await arena.player("eve"), await arena.player("ann")
    first, second = arena.work(eve.signer, lie=flip_a_bit), arena.work(eve.signer, lie=skip_the_update, round_number=2)
    accusing(ann, first)
    await arena.play(ann, until=lambda games: bool(games))
    accusing(ann, second)
    game = await arena.play(ann, seconds=20)
    assert (game.content, game.winner) == (first.dossier.content, GameSide.CHALLENGER)
    assert len(await arena.world.games.games()) == 1
    told = [one.what for one in ann.told(Progress) if "is put off" in one.what]
    assert len(told) == 1
    assert "in round 2" in told[0]

    accusations, epochs = ann.disputes.accusations, await FakeChain(arena.world, ann.wallet).epochs()
    games = await arena.world.games.games()
    assert await accusations.due(games, epochs, is_leaving=False) == [], "nobody can be paid for it yet"
    unlocking = msgspec.structs.replace(epochs, covered_round=3)
    (suit,) = await accusations.due(games, unlocking, is_leaving=False)
    assert suit.content == second.dossier.content, "the quorum let it pass"
    assert await accusations.due(games, epochs, is_leaving=True) == [suit], "who leaves does not put off"

    accusations.note_struck({second.dossier.content})
    assert await accusations.due(games, unlocking, is_leaving=False) == []
    assert [one.content for one in ann.told(DisputeNotPossible)] == [second.dossier.content]
    assert ann.restarted().disputes.accusations.unopened(games) == []
    assert ann.tokens_micro() == PURSE + game.slashed_micro // 2


async def test_a_lie_can_be_disputed_until_a_later_round_is_paid(arena):
    eve, ann = await arena.player("eve"), await arena.player("ann")
    accusing(ann, arena.work(eve.signer, lie=flip_a_bit))
    epochs = await FakeChain(arena.world, ann.wallet).epochs()

    class Paid(msgspec.Struct):
        round: int

    accusations = ann.disputes.accusations
    own_round = msgspec.structs.replace(epochs, claimable=Paid(1), covered_round=1)
    assert len(await accusations.due((), own_round, is_leaving=False)) == 1
    assert await accusations.due((), msgspec.structs.replace(own_round, claimable=Paid(2)), is_leaving=False) == []
    assert "round 1 is paid" in ann.told(DisputeNotPossible)[0].why


async def test_without_money_for_the_bond_the_accusation_waits_for_it_and_is_told_once(arena, monkeypatch):
    eve, ann = await arena.player("eve"), await arena.player("ann")
    accusing(ann, arena.work(eve.signer, lie=flip_a_bit))
    ground = arena.world.ground
    ground.token_wei[ann.wallet] = BOND // 2 * 10**12
    ground._gifted.add(ann.wallet)
    sent, send = [], FakeChain.send

    async def counting(self, intent):
        sent.append(intent)
        return await send(self, intent)

    monkeypatch.setattr(FakeChain, "send", counting)
    for _ in range(4):
        await arena.play(ann, until=lambda games: True)
    assert await arena.world.games.games() == ()
    assert [type(one) for one in sent] == [OpenDispute], "it is not tried again before there is money"
    (problem,) = ann.told(Problem)
    assert (problem.error, ann.told(DisputeNotPossible)) == ("BondMissing", [])
    assert "short of the bond of 5 tokens" in problem.what
    assert problem.what.endswith("it holds 2.5.")
    assert "The accusation is kept" in problem.so_what
    assert "Send tokens" in problem.next_step

    again = ann.restarted()
    await arena.play(again, until=lambda games: True)
    assert len(again.told(Problem)) == 2, "every process tells it"
    assert len(sent) == 1
    ground.pay(ann.wallet, BOND - BOND // 2)
    await arena.play(again, until=lambda games: bool(games))
    await again.disputes.tend()
    assert len(again.told(DisputeOpened)) == 1
    assert again.tokens_micro() == 0
    assert [one.error for one in again.told(Recovered)] == ["BondMissing"]


class Examiner:
    """Finds that somebody's step ends otherwise."""

    def __init__(self, work):
        self.work = work

    async def check(self, order):
        contribution = self.work.dossier.contribution
        case = SimpleNamespace(
            contribution=contribution, content=self.work.dossier.content, parts=object(), material=None, envelope=None
        )
        return case, order.level, Difference("it ends otherwise")


async def test_an_order_becomes_a_suit_and_a_dry_one_only_says_what_would_open_the_game(arena, monkeypatch, tmp_path):
    eve, ann = await arena.player("eve"), await arena.player("ann")
    work, accusations = arena.work(eve.signer, lie=flip_a_bit), ann.disputes.accusations
    monkeypatch.setattr("swarm.disputes.accusing.dossier_of", lambda *_: work.dossier)
    orders = Orders(tmp_path / "orders")
    accusations._orders, accusations._examiner = orders, Examiner(work)

    dry = orders.give(Order(1, "eve", 2, is_dry=True))
    await accusations.obey(dry, orders.open()[0][1])
    assert (orders.open(), accusations.unopened(())) == ([], [])
    assert orders.take_answer(dry) == work.dossier.opening(arena.engine, WHOLE_STEP)
    assert orders.take_answer(dry) is None

    real = orders.give(Order(1, "eve", 2))
    await accusations.obey(real, orders.open()[0][1])
    (suit,) = accusations.unopened(())
    assert (suit.content, suit.subject, suit.is_ordered) == (work.dossier.content, WHOLE_STEP, True)
    assert orders.open() == []
