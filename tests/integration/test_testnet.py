"""Somebody else's chain: another chain id, a block a second, no gate and no faucet. From an empty chain to a claim."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from chain.abi import function
from chain.devchain import DevChain
from chain.ethereum import Account
from chain.rpc import Rpc
from chain.sender import Sender
from identity.wallet import open_wallet, wallet_address
from protocol.events import RoundSettled
from swarm.cli import execute
from swarm.settings.home import Home
from swarm.settings.joining import read_join_file
from tests.integration import processes
from tests.integration.processes import PeerLog, wait_until

pytestmark = pytest.mark.integration

CHAIN_ID = 987_654
RULES = processes.SMALL | {
    "SWARM_TIME__STAGE_S": "90",
    "SWARM_TIME__CONTRIBUTE_S": "60",
    "SWARM_TIME__POSTER_S": "8",
    "SWARM_TIME__ROUND_S": "400",
}
"""A small round, whose limits hold where two peers share a busy machine with a chain."""

COIN_WEI = 10**18
TOKEN_WEI = 10**18


class SomebodysChain:
    """The chain, and what its owner can do on it."""

    def __init__(self, chain: DevChain) -> None:
        self.url = chain.url

    def ask(self, method: str, *params: Any) -> Any:
        async def call() -> Any:
            rpc = Rpc([self.url])
            try:
                return await rpc.request(method, *params)
            finally:
                await rpc.close()

        return asyncio.run(call())

    def fund(self, wallet: str) -> None:
        """As a testnet's faucet does, somewhere on the web."""
        self.ask("anvil_setBalance", wallet, hex(COIN_WEI))

    def sent_by(self, wallet: str) -> int:
        return int(self.ask("eth_getTransactionCount", wallet, "latest"), 16)

    def hand_out(self, home: Path, token: str, to: str, tokens: int) -> None:
        """Send tokens from the host's wallet, as any wallet program does."""

        async def send() -> None:
            rpc = Rpc([self.url])
            try:
                account = Account.from_key(open_wallet(Home(home).host / "wallet.json").secret)
                data = function("SwarmToken", "transfer").call_data(to, tokens * TOKEN_WEI)
                await Sender(rpc, account, CHAIN_ID).send(token, data)
            finally:
                await rpc.close()

        asyncio.run(send())


@pytest.fixture(scope="module")
def testnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SomebodysChain]:
    chain = asyncio.run(DevChain.start(tmp_path_factory.mktemp("testnet"), block_time_s=1.0, chain_id=CHAIN_ID))
    yield SomebodysChain(chain)
    asyncio.run(chain.stop())


@pytest.fixture(scope="module")
def config(testnet: SomebodysChain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """configs/testnet.yaml with this chain, and payouts that a test can wait for."""
    body = yaml.safe_load((Path(__file__).parents[2] / "configs" / "testnet.yaml").read_text())
    body["chain"] |= {"chain_id": CHAIN_ID, "rpc": [testnet.url], "public_rpc": [testnet.url], "confirmations": 1}
    body["economics"] |= {"epoch_rounds": 1, "challenge_s": 3, "dispute_s": 3, "answer_s": 30, "unbonding_s": 5636}
    path = tmp_path_factory.mktemp("config") / "testnet.yaml"
    path.write_text(yaml.safe_dump(body))
    return path


@pytest.fixture(scope="module")
def swarm(home, config):
    """Run a command to its end, in this process: (exit code, JSON of its last line, stderr)."""

    def run(*arguments: str, **settings: str) -> tuple[int, dict[str, Any], str]:
        out, err = io.StringIO(), io.StringIO()
        place = () if "--home" in arguments else ("--home", str(home))
        outer = {name: value for name, value in os.environ.items() if not name.startswith("SWARM_")}
        with (
            mock.patch.dict(os.environ, outer | RULES | settings, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = execute([*arguments, *place, "--config", str(config), "--json"])
        return code, json.loads(out.getvalue().splitlines()[-1]), err.getvalue()

    return run


def done(outcome: tuple[int, dict[str, Any], str]) -> Any:
    code, body, err = outcome
    assert code == 0, err
    return next(iter(body.values()))


@pytest.fixture(scope="module")
def deployed(swarm, testnet, home) -> dict[str, Any]:
    """The chain is set up, by a wallet that somebody sent some of the chain's coin."""
    code, body, _ = swarm("deploy")
    assert (code, body["error"]) == (5, "ChainError"), "a wallet was made, and it is empty"
    testnet.fund(wallet_address(Home(home).host / "wallet.json"))
    return done(swarm("deploy"))


@pytest.fixture(scope="module")
def created(swarm, deployed) -> dict[str, Any]:
    return done(swarm("run", "create", "--name", "trial", "--budget", "5000", "--emission", "100", "--min-peers", "2"))


@pytest.fixture(scope="module")
def staked(swarm, created, testnet, home) -> list[str]:
    """Two peers, registered and staked; their wallets."""
    wallets = []
    for name in ("1", "2"):
        assert swarm("register", "--peer", name)[0] == 5
        wallet = wallet_address(Home(home).peer(name).wallet_file)
        testnet.fund(wallet)
        testnet.hand_out(home, created["contracts"]["token"], wallet, 150)
        done(swarm("register", "--peer", name))
        done(swarm("stake", "120", "--peer", name))
        wallets.append(wallet)
    return wallets


def test_nothing_is_signed_for_another_chain(swarm, testnet, tmp_path):
    home = tmp_path / "other"
    for command in (("deploy",), ("run", "create")):
        code, body, _ = swarm(*command, "--home", str(home), SWARM_CHAIN__CHAIN_ID="1")
        assert (code, body["error"], body["so_what"]) == (2, "ConfigError", "Nothing was signed or sent.")
    assert not (home / "host" / "wallet.json").exists()


def test_a_chain_is_set_up_once(swarm, deployed, testnet, home):
    assert deployed["chain_id"] == CHAIN_ID
    assert (deployed["sent"], len(deployed["transactions"])) == (True, 3)
    assert deployed["gas_used"] == pytest.approx(deployed["gas"], rel=0.05)
    for name in ("registry", "token", "factory"):
        assert len(testnet.ask("eth_getCode", deployed[name], "latest")) > 2
    sent = testnet.sent_by(deployed["deployer"])
    again = done(swarm("deploy"))
    assert (again["sent"], again["factory"]) == (False, deployed["factory"])
    assert testnet.sent_by(deployed["deployer"]) == sent


def test_a_dry_run_of_a_run_shows_both_transactions_and_sends_none(swarm, deployed, testnet):
    sent = testnet.sent_by(deployed["deployer"])
    code, body, err = swarm("run", "create", "--name", "dry", "--budget", "7", "--emission", "1", "--dry-run")
    assert code == 0, err
    assert [step["what"] for step in body["run"]["steps"]] == ["let the factory take 7 tokens", "create the run"]
    assert all(step["gas"] > 20_000 for step in body["run"]["steps"])
    assert body["run"]["budget_micro"] == 7_000_000
    assert testnet.sent_by(deployed["deployer"]) == sent


def test_a_run_has_its_budget_in_escrow_and_is_created_once(swarm, created, testnet, home):
    assert created["created"]
    assert (created["budget"], created["emission_cap"], created["name"]) == (5000.0, 100.0, "trial")
    sent = testnet.sent_by(created["creator"])
    again = done(swarm("run", "create", "--name", "trial", "--budget", "5000", "--emission", "100", "--min-peers", "2"))
    assert (again["created"], again["run_id"], again["contracts"]) == (False, created["run_id"], created["contracts"])
    assert testnet.sent_by(created["creator"]) == sent
    (listed,) = done(swarm("run", "list"))
    assert (listed["run_id"], listed["number"], listed["budget_micro"]) == (created["run_id"], 0, 5_000_000_000)
    shown = done(swarm("run", "show", created["run_id"][:8]))
    assert (shown["round"], shown["members"], shown["paid_out_micro"], shown["task"]) == (0, 0, 0, "sums")
    assert swarm("run", "show", "nonsense")[0] == 2


def test_a_budget_that_the_wallet_does_not_hold_is_refused_in_tokens(swarm, created):
    code, body, _ = swarm("run", "create", "--name", "vast", "--budget", "2000000000", "--emission", "1")
    assert (code, body["error"]) == (5, "ChainError")
    assert "the run's budget is 2000000000." in body["what"]


def test_prices_are_shown_without_a_key_and_are_about_right(swarm, staked, home):
    password = Home(home).peer("1").wallet_file.with_name("wallet.password")
    hidden = password.rename(password.with_name("hidden"))
    try:
        dry = done(swarm("stake", "5", "--dry-run"))
        assert swarm("stake", "5")[0] == 3
    finally:
        hidden.rename(password)
    real = done(swarm("stake", "5"))
    assert (dry["staked"], real["staked"]) == (120.0, 125.0)
    assert real["steps"][0]["gas_used"] == pytest.approx(dry["steps"][0]["gas"], rel=0.2)


def test_a_token_that_is_handed_on_names_no_secret_endpoint(created, home, testnet):
    token = read_join_file(Home(home).join_file)
    assert (token.run.id, token.rpc, token.run.chain_id) == (created["run_id"], (testnet.url,), CHAIN_ID)


@pytest.mark.slow
def test_two_peers_play_on_it_and_their_credits_become_tokens(swarm, start, config, staked, created, home):
    host = start("host", "--config", str(config), "--json")
    processes.must_live.append(host)
    try:
        wait_until(lambda: host.stdout.read_text().strip(), "the host's token")
        peers = [start("run", "--config", str(config), "--peer", name, "--rounds", "3") for name in ("1", "2")]
        processes.must_live.extend(peers)
        PeerLog(home, "1").wait(RoundSettled, timeout_s=900)
        processes.must_live[1:] = []
        assert [peer.wait(1200) for peer in peers] == [0, 0]
    finally:
        processes.must_live.clear()
    rows = swarm("credits")[1]["credits"]
    assert all(row["credits"]["settled_micro"] > 0 and row["staked_micro"] >= 120_000_000 for row in rows)
    # A challenge could keep pay locked for longer than a peer waits, so the last of it is left to a claim.
    left = sum(row["credits"]["settled_micro"] - row["credits"]["claimed_micro"] for row in rows)
    assert left > 0
    claimed = 0.0

    def all_claimed() -> bool:
        nonlocal claimed
        code, body, err = swarm("claim")
        assert code == 0, err
        claimed += sum(row["claimed_now"] for row in body["claims"])
        rows = swarm("credits")[1]["credits"]
        return all(row["credits"]["claimed_micro"] == row["credits"]["settled_micro"] for row in rows)

    wait_until(all_claimed, "everything settled is claimed")
    assert round(claimed * 10**6) == left
    shown = done(swarm("run", "show", "trial"))
    assert shown["paid_out_micro"] > 0


@pytest.mark.slow
def test_stake_comes_back_after_its_time(swarm, staked, testnet, home):
    """The last one: the chain's clock is ahead of everybody's from here on."""
    leaving = done(swarm("unstake", "5", "--peer", "2"))
    assert (leaving["staked"], leaving["exiting"]) == (115.0, 5.0)
    assert swarm("withdraw", "--peer", "2")[0] == 5
    testnet.ask("evm_increaseTime", hex(read_join_file(Home(home).join_file).run.economics.unbonding_s))
    wait_until(lambda: swarm("withdraw", "--peer", "2")[0] == 0, "the stake may be withdrawn")
    assert done(swarm("stake", "5", "--peer", "2"))["exiting"] == 0.0
