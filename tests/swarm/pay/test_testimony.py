import msgspec
import pytest

from chain.base import ZERO_ROOT, Contracts, Epoch, EpochState
from protocol.codec import content_id
from protocol.ids import Address
from protocol.messages import RoundResult
from swarm.pay.testimony import Witnessed, about, answer, is_contested
from tests.rewards.conftest import make_player

replace = msgspec.structs.replace
PLAYERS = [make_player(number) for number in range(1, 6)]
MEMBERS = tuple(player.member for player in PLAYERS)
DOMAIN = Contracts(31337, *(Address("0x" + digit * 40) for digit in "345678abcde"))
RESULT = RoundResult(7, ZERO_ROOT, content_id(b"table"), ZERO_ROOT, content_id(b"root"), 9)
EPOCH = Epoch(2, 7, RESULT.credits_root, 9, 100, 200, EpochState.OPEN, RESULT.data_hash)


def known(num_signed: int, *, recomputed: bool, result: RoundResult = RESULT) -> Witnessed:
    signed = tuple(player.attest(result, DOMAIN) for player in PLAYERS[:num_signed])
    return Witnessed(result, MEMBERS, signed, recomputed)


def test_an_epoch_is_known_by_its_round_and_root():
    other = known(0, recomputed=True, result=replace(RESULT, credits_root=content_id(b"another")))
    assert about(EPOCH, [other, known(0, recomputed=False)]) == known(0, recomputed=False)
    assert about(replace(EPOCH, round=8), [known(0, recomputed=False)]) is None


def test_a_challenge_is_answered_with_what_was_kept_and_what_came_later():
    later = [player.attest(RESULT, DOMAIN) for player in PLAYERS[2:3]]
    assert answer(EPOCH, known(2, recomputed=True), [], DOMAIN) is None
    found = answer(EPOCH, known(2, recomputed=True), later, DOMAIN)
    assert (found.epoch, found.result, len(found.signatures)) == (2, RESULT, 3)


@pytest.mark.parametrize(
    ("num_signed", "recomputed", "contested"),
    [(0, True, False), (2, True, False), (0, False, True), (2, False, True), (3, False, False)],
)
def test_an_epoch_is_contested_by_who_could_not_recompute_it_and_knows_no_majority(num_signed, recomputed, contested):
    assert is_contested(EPOCH, [known(num_signed, recomputed=recomputed)], [], DOMAIN) is contested


def test_signatures_that_come_later_settle_a_doubt():
    later = [player.attest(RESULT, DOMAIN) for player in PLAYERS[2:3]]
    assert not is_contested(EPOCH, [known(2, recomputed=False)], later, DOMAIN)


def test_another_result_of_the_round_that_was_recomputed_contests_it():
    mine = known(1, recomputed=True, result=replace(RESULT, credits_root=content_id(b"the right one")))
    assert is_contested(EPOCH, [mine], [], DOMAIN)
    assert not is_contested(EPOCH, [replace(mine, recomputed=False)], [], DOMAIN)


def test_who_knows_nothing_of_the_round_challenges_nothing():
    assert not is_contested(EPOCH, [], [], DOMAIN)
