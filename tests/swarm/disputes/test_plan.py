"""A game is opened for a stake, or for pay that nothing else strikes; otherwise bond and trace are spared."""

from __future__ import annotations

import pytest

from chain.games import WHOLE_STEP, GamePhase, GameRecord, GameSide, GameTerms, game_id
from protocol.ids import Address, ContentId, PeerId
from swarm.disputes.archive import Suit
from swarm.disputes.plan import Opening, is_refuted, opening, own_game

EVE, BOB = PeerId("eve"), PeerId("bob")
MINE, OTHER = Address("0x" + "Aa" * 20), Address("0x" + "bb" * 20)
LIE, EARLIER = ContentId("01" * 32), ContentId("02" * 32)
SUIT = Suit(3, EVE, LIE, WHOLE_STEP)
STRUCK = Suit(3, EVE, LIE, WHOLE_STEP, is_struck=True)
STAKE = 25_000_000


def game(challenger, content=EARLIER, peer=EVE, winner=None):
    return GameRecord(
        game=game_id(content, WHOLE_STEP, challenger), peer=peer, challenger=challenger, round=2, content=content,
        subject=WHOLE_STEP, program_root=LIE, data_root=LIE, state_before=LIE, state_after=LIE,
        terms=GameTerms(60, 30, 5_000_000), opened_at=0, opened_block=1, deadline=60, winner=winner,
        phase=GamePhase.OVER if winner else GamePhase.TRACE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("games", "suit", "stake", "is_last", "what"),
    [
        ([], SUIT, STAKE, False, Opening.NOW),
        ([], STRUCK, STAKE, False, Opening.NOW),  # a quorum takes no stake
        ([], SUIT, 0, False, Opening.LATER),  # the quorum strikes it for nothing,
        ([], SUIT, 0, True, Opening.NOW),  # and if it has not when the pay is due, only a game does
        ([], STRUCK, 0, False, Opening.NEVER),
        ([], STRUCK, 0, True, Opening.NEVER),
        ([game(MINE)], SUIT, STAKE, False, Opening.LATER),
        ([game(OTHER)], SUIT, STAKE, False, Opening.LATER),
        ([game(OTHER, LIE)], SUIT, STAKE, False, Opening.LATER),
        ([game(MINE)], SUIT, STAKE, True, Opening.NOW),
        ([game(OTHER, LIE)], STRUCK, STAKE, True, Opening.NOW),  # it may be a friend's, who loses on purpose
        ([game(MINE)], STRUCK, STAKE, True, Opening.LATER),  # it is this peer's own
        ([game(MINE.lower())], STRUCK, STAKE, True, Opening.LATER),
        ([game(OTHER, winner=GameSide.DEFENDER)], SUIT, STAKE, False, Opening.NOW),
        ([game(OTHER, peer=BOB)], SUIT, STAKE, False, Opening.NOW),
    ],
)
def test_a_suit_becomes_a_game_only_for_what_nothing_else_gains(games, suit, stake, is_last, what):
    assert opening(games, suit, MINE, stake, is_last_chance=is_last) is what


@pytest.mark.parametrize(
    ("games", "is_struck", "stake", "what"),
    [
        ([game(OTHER)], False, STAKE, Opening.NOW),
        ([], False, 0, Opening.NOW),
        ([game(MINE)], True, STAKE, Opening.NOW),
        ([], True, 0, Opening.NEVER),
    ],
)
def test_what_a_person_orders_is_not_put_off_but_nobody_pays_for_nothing(games, is_struck, stake, what):
    suit = Suit(3, EVE, LIE, WHOLE_STEP, is_struck=is_struck, is_ordered=True)
    assert opening(games, suit, MINE, stake, is_last_chance=False) is what


def test_another_peer_s_game_is_not_the_own_one_until_it_has_shown_the_lie():
    assert own_game([game(OTHER, LIE)], SUIT, MINE) is None
    assert own_game([game(MINE, LIE)], SUIT, MINE) == game(MINE, LIE)
    assert not is_refuted([game(OTHER, LIE, winner=GameSide.DEFENDER)], SUIT)
    assert is_refuted([game(OTHER, LIE, winner=GameSide.CHALLENGER)], SUIT)
