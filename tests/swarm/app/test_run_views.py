"""Runs as the chain knows them, in words and for programs; what strangers named is only text."""

import msgspec
import pytest

from chain.base import Contracts
from chain.fake import FakeChain
from chain.rules import rules_of
from protocol.codec import content_id_of
from protocol.errors import ChainUnreachable, ConfigError
from protocol.ids import Address, ContentId
from protocol.run import RunContracts
from swarm.app import chain_access, factory
from swarm.app.foundation import ChainContracts, RunView
from swarm.app.run_views import chosen_run
from swarm.cli import execute
from tests.swarm.app.conftest import spec_for

CREATOR = Address("0x" + "cc" * 20)


def view_of(number, run_id, name, spec=None, contracts=None):
    spec = spec or spec_for()
    return RunView(
        number=number,
        run_id=ContentId(run_id),
        creator=CREATOR,
        model_hash=spec.model,
        task_hash=content_id_of(spec.task),
        name=name,
        budget_micro=5_000_000,
        created_at=1_790_000_000,
        contracts=contracts or RunContracts(*[Address("0x" + "11" * 20)] * len(RunContracts.__struct_fields__)),
        rules=rules_of(spec.economics, round_s=300, poster_s=10, start_members=1),
    )


VIEWS = (
    view_of(0, "ab" * 32, "first"),
    view_of(1, "abab" + "cd" * 30, "second"),
    view_of(2, "ef" * 32, "second"),
)


@pytest.mark.parametrize(
    ("which", "number"),
    [("0", 0), ("first", 0), ("ef" * 32, 2), ("0x" + "EF" * 32, 2), ("efef", 2), ("ababcd", 1), (" 1 ", 1)],
)
def test_a_run_is_named_by_number_name_or_the_beginning_of_its_id(which, number):
    assert chosen_run(VIEWS, which).number == number


@pytest.mark.parametrize(
    ("which", "what"),
    [
        ("second", "several runs: 1 (ababcdcdcdcd), 2 (efefefefefef)"),
        ("abab", "several"),
        ("ab", "no run"),
        ("9", "no run"),
    ],
)
def test_what_means_none_or_several_is_refused(which, what):
    with pytest.raises(ConfigError) as caught:
        chosen_run(VIEWS, which)
    assert what in caught.value.what


@pytest.fixture
def market(town, monkeypatch):
    """A factory with the town's run, and one that a stranger named; what was opened to look at a run."""
    shared = town.token.contracts
    views = (
        view_of(0, town.spec.id, "trial", town.spec, shared),
        view_of(1, "ee" * 32, "\x1b[31mfree money\u202e", town.spec, shared),
    )
    opened: list[Contracts] = []

    class Market:
        contracts = ChainContracts(31337, shared.registry, shared.token, shared.factory)

        async def runs(self):
            return views

        async def close(self):
            pass

    async def open_foundation(_chosen, _account):
        return Market()

    async def open_run(_chosen, contracts, account):
        opened.append(contracts)
        return FakeChain(town.world, account)

    monkeypatch.setattr(factory, "open_foundation", open_foundation)
    monkeypatch.setattr(chain_access, "open_run", open_run)
    return town, opened


def test_runs_are_listed_newest_first_with_what_they_ask_and_pay(told, market):
    town, _ = market
    code, body, _ = told("run", "list", "--home", town.home, "--json")
    assert code == 0
    stranger, ours = body["runs"]
    assert (stranger["name"], stranger["number"]) == ("free money", 1)
    assert (ours["run_id"], ours["budget"], ours["budget_micro"]) == (town.spec.id, 5.0, 5_000_000)
    assert ours["rules"].keys() == set(msgspec.structs.asdict(VIEWS[0].rules))


def test_a_list_in_words_obeys_no_name(capsys, market):
    town, _ = market
    assert execute(["run", "list", "--home", str(town.home)]) == 0
    out = capsys.readouterr().out
    assert "free money" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_a_run_is_shown_with_its_state_and_what_this_home_knows(told, capsys, market):
    town, opened = market
    code, body, _ = told("run", "show", "trial", "--home", town.home, "--json")
    mine = body["run"]
    assert code == 0
    assert (mine["round"], mine["members"], mine["paid_out_micro"], mine["ends_at"]) == (0, 0, 0, None)
    assert (mine["task"], mine["scorer_version"], mine["spec"]["name"]) == ("sums", "1", town.spec.name)
    assert opened[0] == town.world.contracts
    assert "task" not in told("run", "show", "1", "--home", town.home, "--json")[1]["run"]
    assert execute(["run", "show", "trial", "--home", str(town.home)]) == 0
    out = capsys.readouterr().out
    assert "5 tokens in escrow" in out
    assert "(sums, scorer 1)" in out


def test_a_run_whose_contracts_do_not_answer_is_shown_as_the_factory_knows_it(told, market, monkeypatch):
    town, _ = market

    async def away(*_):
        raise ChainUnreachable("No endpoint answers.")

    monkeypatch.setattr(chain_access, "open_run", away)
    code, body, _ = told("run", "show", "trial", "--home", town.home, "--json")
    assert (code, body["run"]["round"], body["run"]["why"]) == (0, None, "No endpoint answers.")


def test_where_nothing_is_known_of_a_chain_it_says_what_is_missing(told, tmp_path):
    code, body, _ = told("run", "list", "--home", tmp_path, "--json")
    assert (code, body["error"]) == (2, "ConfigError")
    assert "`swarm deploy`" in body["next"]
