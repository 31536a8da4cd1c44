"""Why this module exists: commands that send to the chain are tested on the simulated one, with real keys and files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest

from chain.base import OpenEpoch
from chain.fake import FakeChain, FakeWorld
from chain.rules import Rules, rules_of
from identity.keyfile import open_key
from identity.names import nickname
from identity.wallet import Wallet, open_wallet
from protocol import events as e
from protocol.codec import encode
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import CreditTable, Finding
from protocol.run import FamilySpec, JoinToken, RunContracts, RunSpec, TaskSpec
from rewards.ledger import Verified, apply, round_result, row_of
from swarm.app import chain_access
from swarm.cli import execute
from swarm.observe.eventlog import EventLog
from swarm.rounds.journal import Journal
from swarm.settings.config import load_settings
from swarm.settings.home import Home
from swarm.settings.joining import write_join_file

CHAIN_ID = 31337
TASK = TaskSpec("sums", "1", (FamilySpec("chain_sum", 1, "{}"),), 8)


def spec_for(chain_id: int = CHAIN_ID, **economics: int) -> RunSpec:
    overrides = {f"economics.{name}": value for name, value in economics.items()}
    chosen = load_settings("local", overrides=overrides)
    return chosen.to_run_spec(chain_id=chain_id, model=ContentId("ab" * 32), task=TASK)


class Town:
    """A home with one peer, its run on a simulated chain, and what the commands did there."""

    def __init__(self, home: Path, spec: RunSpec) -> None:
        self.home = home
        self.spec = spec
        rules: Rules = rules_of(spec.economics, round_s=100, poster_s=10, start_members=1)
        self.world = FakeWorld(rules, run=spec.id, chain_id=spec.chain_id)
        self.signed: list[str] = []
        """Of every wallet that was unlocked for the chain, its address."""

    @property
    def token(self) -> JoinToken:
        contracts = msgspec.structs.asdict(self.world.contracts)
        del contracts["chain_id"]
        return JoinToken(self.spec, RunContracts(**contracts), (), ("http://127.0.0.1:1",), "tiny")

    def add_peer(self, name: str = "1") -> tuple[str, str]:
        """Identity and wallet of a peer: (peer id, address)."""
        peer = Home(self.home).peer(name)
        return open_key(peer.key_file).peer, open_wallet(peer.wallet_file).address

    def fund(self, address: str, tokens: int) -> None:
        self.world.ground.pay(address, tokens * 10**6)


@pytest.fixture
def town(tmp_path, monkeypatch) -> Town:
    """A home with a join file; nothing waits for confirmations, and prompts are never possible."""
    town = Town(tmp_path / "home", spec_for())
    write_join_file(Home(town.home).join_file, town.token)
    monkeypatch.setattr(chain_access, "depth_of", lambda *_: 0)

    async def open_chain(chosen, token, account, home=None, *, num_attempts=4):
        chain_access.require_configured_chain(chosen, token)
        if isinstance(account, Wallet):
            town.signed.append(account.address)
        return FakeChain(town.world, account.address if isinstance(account, Wallet) else account)

    monkeypatch.setattr(chain_access, "open_chain", open_chain)
    return town


@pytest.fixture
def told(capsys):
    """(exit code, last line of stdout as JSON, stderr) of a command."""

    def tell(*arguments: object):
        code = execute([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, json.loads(out.splitlines()[-1]), err

    return tell


class Books:
    """Credits of a town's peer: what its rounds earned, on the chain, in its journal and in its log."""

    def __init__(self, town: Town, peer: str, address: str) -> None:
        self.town, self.peer, self.address = town, PeerId(peer), Address(address)
        self.home = Home(town.home).peer("1")
        self.table: CreditTable | None = None
        self.earned: dict[int, int] = {}

    def record(self, round: int, micro: int) -> None:
        """Round ``round`` earned ``micro``; its result is recorded, and pays what the round before earned."""
        self.earned[round] = micro
        work = Verified(self.peer, _content("c", round), micro, _content("s", round - 1), _content("s", round))
        self.table, before = apply(self.table, self.town.spec.id, round, [work]), self.table
        result = round_result(self.table, [work], before)
        self.town.world.results.recorded[round] = result
        self.town.world.roster.open_next()
        Journal(self.home.run(self.town.spec.id).journal).write_table(round, result.data_hash, encode(self.table))
        paid = row_of(self.table, self.peer)
        self.tell(
            e.ContributionSigned(round, work.content),
            e.RoundSettled(
                round, result.contributions_root, result.credits_root, (work.content,), {self.peer: micro}, None
            ),
            e.CreditsChanged(paid.micro_credits if paid else 0, self.town.world.escrow.claimed.get(self.peer, 0)),
        )

    def judged(self, round: int, finding: Finding) -> None:
        """Somebody checked the round's contribution."""
        by = PeerId("16Uiu2HAmPLDnd6X8yJuBDZtLUrJ2vGBcnqxQXXJ7gbfYd4rcQMNr")
        self.tell(e.VerdictSeen(round, self.peer, _content("c", round), by, 1, finding, ""))

    def begin_payout(self) -> None:
        self.town.world.apply(self.address, OpenEpoch(self.town.world.results.settled_round))

    def unlock(self) -> None:
        rules = self.town.world.rules
        self.town.world.pass_time(rules.challenge_s + rules.dispute_s)

    def tell(self, *events: e.Event) -> None:
        with EventLog(self.home.events_file) as log:
            for event in events:
                log.append(event)


def _content(*parts: object) -> ContentId:
    return ContentId(hashlib.sha256(repr(parts).encode()).hexdigest())


@pytest.fixture
def books(town, told) -> Books:
    """Of a registered peer that is not running any more."""
    peer, address = town.add_peer()
    assert told("register", "--home", town.home, "--json")[0] == 0
    books = Books(town, peer, address)
    books.tell(
        e.PeerStarted(nickname(peer), peer, address, str(books.home.root), "tiny", "exact", "0", 4_000_000),
        e.Stopped("was asked to stop", 0, 100),
    )
    return books
