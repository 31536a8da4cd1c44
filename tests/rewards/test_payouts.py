import pytest

from chain.base import ZERO_ROOT, Claim, ClaimMany, Epoch, EpochState
from chain.keys import peer_key
from protocol.ids import ContentId
from protocol.merkle import verify
from protocol.messages import CreditRow, CreditTable
from rewards.ledger import credits_tree, row_of
from rewards.payouts import GROUP, claims, group_of, payout_of
from tests.rewards.conftest import make_player

RUN = ContentId("ab" * 32)
PEERS = [make_player(number).peer for number in range(1, 121)]
STATE = ContentId("cd" * 32)


def table(num_peers, *, round=20, late=(), gone=()):
    """Everybody earned a credit; ``late`` ones missed the last round, ``gone`` ones contribute no more."""
    rows = [
        CreditRow(
            peer, 1_000_000, 5, STATE, last_round=round - 10 if peer in gone else round - 1 if peer in late else round
        )
        for peer in PEERS[:num_peers]
    ]
    return CreditTable(RUN, round, tuple(sorted(rows, key=lambda row: row.peer)))


def epoch_of(paid, number=4):
    return Epoch(number, paid.round, credits_tree(paid).root, 10**9, 0, 0, EpochState.FINAL, ZERO_ROOT)


def test_everybody_is_in_one_group_of_about_fifty_and_all_of_it_agree():
    paid = table(120)
    groups = {peer: group_of(paid, peer, 2) for peer in PEERS}
    different = set(groups.values())
    assert len(different) == 3
    assert sorted(peer for group in different for peer in group.peers) == sorted(PEERS)
    assert all(groups[one] == group for group in different for one in group.peers)
    assert all(GROUP // 2 < len(group.peers) < 2 * GROUP for group in different)


def test_the_turn_goes_round():
    paid = table(6)
    firsts = [group_of(paid, PEERS[0], payout).payers[0] for payout in range(60)]
    assert set(firsts) == set(PEERS[:6])
    assert max(firsts.count(peer) for peer in PEERS[:6]) < 25


def test_who_missed_the_last_round_is_paid_but_not_asked_and_who_is_gone_is_left_to_itself():
    paid = table(6, late=PEERS[:1], gone=PEERS[1:2])
    group = group_of(paid, PEERS[2], 1)
    assert set(group.peers) == set(PEERS[:6]) - {PEERS[1]}
    assert set(group.payers) == set(PEERS[2:6])
    assert group.rank_of(PEERS[0]) == 4
    assert group_of(paid, PEERS[1], 1).peers == (PEERS[1],)
    stranger = make_player(999).peer
    assert group_of(paid, stranger, 1).rank_of(stranger) == 0


def test_a_table_that_lacks_somebody_gives_the_others_the_same_order():
    with_all, without = table(6), table(5)
    order = [peer for peer in group_of(with_all, PEERS[0], 3).peers if peer != PEERS[5]]
    assert list(group_of(without, PEERS[0], 3).peers) == order


def test_one_transaction_claims_for_all_that_are_owed_something():
    paid = table(5)
    owed = {PEERS[0]: 0, PEERS[1]: 1_000_000, PEERS[2]: 999_999, PEERS[3]: 0}
    many = claims(paid, epoch_of(paid), PEERS[0], owed, left_out=[PEERS[0], PEERS[3]])
    assert isinstance(many, ClaimMany)
    assert many.epoch == 4
    assert {one.peer for one in many.lines} == {PEERS[0], PEERS[2]}
    root = credits_tree(paid).root
    assert all(verify(root, peer_key(one.peer), one.line, one.proof) for one in many.lines)
    alone = claims(paid, epoch_of(paid), PEERS[0], {PEERS[0]: 0})
    assert isinstance(alone, Claim)
    assert alone.peer == PEERS[0]
    assert claims(paid, epoch_of(paid), PEERS[1], {PEERS[1]: 1_000_000}) is None
    assert claims(table(4), epoch_of(paid), PEERS[0], owed) is None
    assert row_of(paid, PEERS[4]) is not None


@pytest.mark.parametrize(("round", "number"), [(9, 0), (10, 1), (19, 1), (20, 2)])
def test_a_payout_is_due_every_so_many_rounds(round, number):
    assert payout_of(epoch_of(table(2, round=round)), 10) == number
