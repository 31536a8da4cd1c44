"""Why this module exists: commands that send to the chain are tested on the simulated one, with real keys and files."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from chain.fake import FakeChain, FakeWorld
from chain.rules import Rules, rules_of
from identity.keyfile import open_key
from identity.wallet import Wallet, open_wallet
from protocol.ids import ContentId
from protocol.run import FamilySpec, JoinToken, RunContracts, RunSpec, TaskSpec
from swarm.app import chain_access
from swarm.cli import execute
from swarm.config import load_settings
from swarm.home import Home
from swarm.joining import write_join_file

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
    monkeypatch.setenv("SWARM_CHAIN__CONFIRMATIONS", "0")

    async def open_chain(chosen, token, account, *, num_attempts=4):
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
