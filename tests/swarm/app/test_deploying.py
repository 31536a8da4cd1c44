"""Setting a chain up: once, also when the command is killed, and never on another chain."""

from pathlib import Path

import msgspec
import pytest

from chain.base import Cost
from chain.deploy import NUM_TRANSACTIONS, created_address, planned, write_file
from identity.wallet import create_wallet, wallet_address
from protocol.ids import Address
from swarm.app import deploying, factory
from swarm.cli import execute
from swarm.settings.home import Home

CHAIN_ID = 5050
WALLET = bytes(31) + b"\x07"


def _of(found, number):
    """What a part of the set-up creates that others ask for."""
    return ({found.registry, found.token}, set(), {found.factory})[number]


class Ground:
    """A chain without contracts, as far as setting it up goes. ``dies_after``: transactions until the command dies;
    ``pool``: (looks until it is mined, address that it creates) of a transaction that was sent before."""

    def __init__(self):
        self.chain_id = CHAIN_ID
        self.code: set[str] = set()
        self.mined = self.waiting = 3
        self.dies_after = 99
        self.signed = 0
        self.pool: tuple[int, str] | None = None

    def site(self, chosen, account):
        return GroundSite(self, account)


class GroundSite:
    def __init__(self, ground, account):
        self.ground = ground
        self.address = getattr(account, "address", account)
        self.can_sign = hasattr(account, "secret")

    async def chain_id(self):
        return self.ground.chain_id

    async def has_code(self, address):
        return address in self.ground.code

    async def nonces(self):
        ground = self.ground
        if ground.pool is not None:
            looks, address = ground.pool
            ground.pool = (looks - 1, address) if looks else None
            if not looks:
                ground.code.add(address)
                ground.mined += 1
        return ground.mined, ground.waiting

    async def estimate(self, base):
        return Cost(7_000_000 if base else 16_000_000, 16 * 10**15)

    async def deploy(self, file):
        assert self.can_sign
        ground = self.ground
        found = deploying.read_file(file, deploying.Deployment) or planned(
            ground.chain_id, Address(self.address), ground.mined, 10**27
        )
        write_file(file, found)
        for number in range(NUM_TRANSACTIONS):
            address = created_address(found.deployer, found.nonce + number)
            if address in ground.code:
                continue
            if ground.dies_after == 0:
                raise KeyboardInterrupt
            ground.dies_after -= 1
            ground.signed += 1
            assert ground.mined == found.nonce + number, "an address that nothing will ever be created at"
            ground.code |= {address} | _of(found, number)
            ground.mined = ground.waiting = ground.mined + 1
        done = msgspec.structs.replace(found, transactions=("0xaa", "0xbb", "0xcc"), gas=15_000_000)
        write_file(file, done)
        return done

    async def close(self):
        pass


@pytest.fixture
def ground(monkeypatch):
    ground = Ground()
    monkeypatch.setattr(factory, "open_site", ground.site)
    monkeypatch.setattr(deploying, "POLL_S", 0.001)
    monkeypatch.setenv("SWARM_CHAIN__CHAIN_ID", str(CHAIN_ID))
    monkeypatch.setenv("SWARM_CHAIN__RPC", "http://127.0.0.1:1")
    monkeypatch.setenv("SWARM_WALLET_PASSWORD", "hush")
    return ground


@pytest.fixture
def home(tmp_path) -> Path:
    create_wallet(Home(tmp_path).host / "wallet.json", "hush", machine_made=True, secret=WALLET)
    return tmp_path


def deploy(told, home, *options):
    code, body, err = told("deploy", "--home", home, "--json", *options)
    return code, body.get("deploy", body), err


def test_a_chain_is_set_up_once(told, ground, home):
    code, mine, err = deploy(told, home)
    assert code == 0, err
    assert (mine["chain_id"], mine["sent"], mine["transactions"]) == (CHAIN_ID, True, ["0xaa", "0xbb", "0xcc"])
    assert mine["factory"] in ground.code
    assert (mine["gas"], mine["fee_wei"], mine["fee"]) == (16_000_000, str(16 * 10**15), 0.016)
    assert err.index("16,000,000 gas, a fee of about 0.016") < err.index("is set up; its contracts are in")
    assert deploy(told, home)[1]["sent"] is False
    assert ground.signed == 3


def test_a_dry_run_needs_no_password_and_leaves_no_file(told, ground, home, monkeypatch):
    monkeypatch.delenv("SWARM_WALLET_PASSWORD")
    code, mine, err = deploy(told, home, "--dry-run")
    assert (code, mine["sent"], mine["gas"]) == (0, False, 16_000_000)
    assert "16,000,000 gas" in err
    assert (ground.signed, list((home / "host").glob("chain-*"))) == (0, [])


def test_a_dry_run_without_a_wallet_makes_none(told, ground, tmp_path):
    code, body, _ = deploy(told, tmp_path, "--dry-run")
    assert (code, body["error"]) == (3, "IdentityError")
    assert not (tmp_path / "host" / "wallet.json").exists()


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_a_command_that_was_killed_goes_on_where_it_was(told, ground, home, sent):
    ground.dies_after = sent
    assert execute(["deploy", "--home", str(home)]) == 130
    ground.dies_after = 99
    code, mine, err = deploy(told, home)
    assert code == 0, err
    assert (mine["gas"], ground.signed) == (7_000_000 if sent else 16_000_000, 3)


def test_what_waits_in_the_pool_is_waited_for(told, ground, home):
    """The command was killed after it sent the first part, which is mined a little later."""
    plan = planned(CHAIN_ID, wallet_address(home / "host" / "wallet.json"), 3, 10**27)
    write_file(deploying.deployment_file(home, CHAIN_ID), plan)
    ground.waiting, ground.pool = 4, (2, created_address(plan.deployer, 3))
    code, mine, err = deploy(told, home)
    assert (code, ground.signed, mine["factory"]) == (0, 2, plan.factory), err


def test_a_pool_that_does_not_move_is_not_waited_for_without_end(told, ground, home, monkeypatch):
    monkeypatch.setattr(deploying, "PENDING_S", 0.01)
    write_file(
        deploying.deployment_file(home, CHAIN_ID),
        planned(CHAIN_ID, wallet_address(home / "host" / "wallet.json"), 3, 10**27),
    )
    ground.waiting = 4
    code, body, _ = deploy(told, home)
    assert (code, body["error"], ground.signed) == (4, "ChainUnreachable", 0)


def test_a_plan_whose_nonce_went_to_something_else_is_made_anew(told, ground, home):
    stale = planned(CHAIN_ID, wallet_address(home / "host" / "wallet.json"), 1, 10**27)
    write_file(deploying.deployment_file(home, CHAIN_ID), stale)
    code, mine, err = deploy(told, home)
    assert (code, ground.signed) == (0, 3), err
    assert mine["factory"] != stale.factory


def test_contracts_that_are_gone_are_not_replaced_in_silence(told, ground, home):
    deploy(told, home)
    ground.code.clear()
    code, body, _ = deploy(told, home)
    assert (code, body["error"], ground.signed) == (5, "ChainError", 3)
    assert "are not on the chain" in body["what"]


def test_another_wallet_does_not_go_on_with_somebodys_plan(told, ground, home):
    write_file(deploying.deployment_file(home, CHAIN_ID), planned(CHAIN_ID, Address("0x" + "11" * 20), 3, 10**27))
    code, body, _ = deploy(told, home)
    assert (code, body["error"], ground.signed) == (2, "ConfigError", 0)


def test_another_chain_is_refused_before_a_wallet_is_made(told, ground, tmp_path):
    ground.chain_id = 1
    code, body, _ = deploy(told, tmp_path)
    assert (code, body["error"], body["so_what"]) == (2, "ConfigError", "Nothing was signed or sent.")
    assert "serves chain 1; the settings are for chain 5050" in body["what"]
    assert not (tmp_path / "host").exists()


def test_without_a_configured_chain_nothing_is_set_up(told, ground, home, monkeypatch):
    monkeypatch.delenv("SWARM_CHAIN__CHAIN_ID")
    assert deploy(told, home)[1]["what"] == "No chain is configured."
    monkeypatch.setenv("SWARM_CHAIN__CHAIN_ID", str(CHAIN_ID))
    monkeypatch.setenv("SWARM_CHAIN__RPC", "")
    code, body, _ = deploy(told, home)
    assert (code, body["what"]) == (2, "No endpoint of chain 5050 is configured.")


def test_a_chain_that_somebody_else_set_up_is_left_alone(told, ground, home, monkeypatch):
    for number, name in enumerate(("REGISTRY", "TOKEN", "FACTORY")):
        monkeypatch.setenv(f"SWARM_CHAIN__{name}", f"0x{number:040x}")
    code, body, _ = deploy(told, home)
    assert (code, ground.signed) == (2, 0)
    assert "deployed already" in body["what"]


def test_contracts_are_named_together_or_not_at_all(told, ground, home, monkeypatch):
    monkeypatch.setenv("SWARM_CHAIN__FACTORY", "0x" + "1" * 40)
    code, body, _ = deploy(told, home)
    assert (code, body["error"]) == (2, "ConfigError")
    assert "are given together" in body["what"]
