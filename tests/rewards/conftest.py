"""Five members with fixed worthless keys, enrolled in a run on a chain that nobody runs."""

import msgspec
import pytest

from chain.base import ZERO_ROOT, ClockView, Contracts, Member
from chain.keys import address_of_public_key, peer_of_secp256k1, sign_digest
from chain.typed_data import round_result_digest
from protocol.codec import content_id
from protocol.ids import Address
from protocol.messages import Attestation, RoundResult
from rewards.ledger import Verified
from rewards.settlement import propose


class Player(msgspec.Struct, frozen=True):
    secret: bytes
    member: Member

    @property
    def peer(self):
        return self.member.peer

    def attest(self, result: RoundResult, domain: Contracts) -> Attestation:
        return Attestation(result, sign_digest(self.secret, round_result_digest(domain, result)))


def make_player(number: int) -> Player:
    from coincurve import PrivateKey

    secret = number.to_bytes(32, "big")
    public_key = PrivateKey(secret).public_key.format()
    address = address_of_public_key(public_key)
    return Player(secret, Member(peer_of_secp256k1(public_key), address, address, 1))


@pytest.fixture(scope="session")
def players() -> list[Player]:
    return [make_player(number) for number in range(1, 6)]


@pytest.fixture(scope="session")
def domain() -> Contracts:
    return Contracts(31337, *(Address("0x" + digit * 40) for digit in "345678abcde"))


@pytest.fixture(scope="session")
def run():
    return content_id(b"a run")


@pytest.fixture
def view(players) -> ClockView:
    """Round 1 is open and nothing was settled yet."""
    members = tuple(player.member for player in players)
    return ClockView(9, 1000, 1, 990, 1050, "ab" * 32, members, 0, ZERO_ROOT, ZERO_ROOT)


def state(number, player):
    return content_id(f"state {number} of {player.peer}".encode())


def works(players, number=1, micro=300_000) -> dict:
    done = [
        Verified(p.peer, content_id(f"{number}/{p.peer}".encode()), micro + i, state(number - 1, p), state(number, p))
        for i, p in enumerate(players)
    ]
    return {work.content: work for work in done}


@pytest.fixture
def round_one(players, run):
    verified = works(players)
    proposal, table = propose(run, 1, verified.values(), None)
    return verified, proposal, table
