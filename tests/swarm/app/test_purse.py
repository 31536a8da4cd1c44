"""Where every credit is: also when nothing runs, the chain is away, or a payout was undone."""

from chain.base import Challenge, VoidEpoch
from protocol.messages import Finding
from swarm.app import purse
from swarm.cli import execute
from swarm.observe import queries
from swarm.observe.views import Stage
from swarm.settings.home import Home


def credits(told, town, *options):
    code, body, err = told("credits", "--home", town.home, "--json", *options)
    assert code == 0
    return body["credits"][0], body["chain"], err


def test_offline_only_the_log_is_asked(told, town, books):
    books.record(1, 800_000)
    books.record(2, 700_000)
    town.world.reachable = False
    row, chain, _ = credits(told, town, "--offline")
    assert chain == {
        "asked": False, "why": "only this machine's log was asked", "block": None, "block_at": None, "round": None,
        "settled_round": None,
    }  # fmt: skip
    assert (row["credits"]["settled_micro"], row["unlocked"], row["staked_micro"]) == (800_000, None, None)
    assert [part["stage"] for part in row["waiting"]] == ["earned", "settled"]
    assert "`swarm claim`" in row["waiting"][1]["waits_for"]


def test_a_chain_that_is_away_is_said_and_takes_nothing_away(told, town, books):
    books.record(1, 800_000)
    books.record(2, 700_000)
    town.world.reachable = False
    row, chain, _ = credits(told, town)
    assert not chain["asked"]
    assert chain["why"].startswith("No chain endpoint answers")
    assert (row["credits"]["earned_micro"], row["credits"]["settled_micro"]) == (1_500_000, 800_000)


def test_without_a_join_file_nobody_can_be_asked(told, town, books):
    books.record(1, 800_000)
    (town.home / "join.yaml").unlink()
    _, chain, _ = credits(told, town)
    assert (chain["asked"], chain["why"]) == (False, f"there is no {town.home / 'join.yaml'}")


def test_a_swarm_that_does_not_run_is_said(capsys, town, books):
    books.record(1, 800_000)
    books.record(2, 700_000)
    capsys.readouterr()
    assert execute(["credits", "--home", str(town.home)]) == 0
    out, err = capsys.readouterr()
    assert err == "No peer of this home is running; what it last knew is shown.\n"
    assert "0.7 of round 2 earned, waits for one more recorded result" in " ".join(out.split())
    town.world.reachable = False
    assert execute(["credits", "--home", str(town.home)]) == 0
    out, err = capsys.readouterr()
    assert "The chain was not asked: No chain endpoint answers" in err
    assert " ? " in out


def test_notes_are_silent_where_all_is_known(town, books):
    books.record(1, 800_000)
    (row,) = queries.credits(town.home, alive=lambda _pid, _at: True)
    assert purse.notes([row], purse.Source(True)) == ["No peer of this home is running; what it last knew is shown."]


def test_an_accused_contribution_waits_for_attestors(told, town, books):
    books.record(1, 800_000)
    books.judged(1, Finding.MISMATCH)
    row, _, _ = credits(told, town)
    assert (row["verified_micro"], row["waiting"][0]["stage"]) == (0, "earned")
    assert row["waiting"][0]["waits_for"].endswith("found another result")


def test_a_payout_that_was_undone_is_paid_anew(told, town, books):
    for number in (1, 2, 3):
        books.record(number, 500_000)
    books.begin_payout()
    town.fund(books.address, 100)
    town.world.apply(books.address, Challenge(0))
    row, _, _ = credits(told, town)
    challenged = row["waiting"][-1]
    assert (challenged["stage"], challenged["micro"], challenged["until"]) == ("settled", 1_000_000, None)
    assert "challenged" in challenged["waits_for"]
    town.world.pass_time(town.world.rules.answer_s)
    town.world.apply(books.address, VoidEpoch(0))
    row, _, _ = credits(told, town)
    assert (row["credits"]["settled_micro"], row["unlocked_micro"]) == (0, 0)
    assert row["credits"]["earned_micro"] == 1_500_000
    assert {part["stage"] for part in row["waiting"]} == {Stage.EARNED, Stage.VERIFIED}


def test_stake_is_part_of_what_a_peer_has(told, town, books):
    books.record(1, 800_000)
    town.fund(books.address, 50)
    told("stake", "20", "--home", town.home, "--json")
    told("unstake", "5", "--home", town.home, "--json")
    row, _, _ = credits(told, town)
    assert (row["staked_micro"], row["exiting_micro"]) == (15_000_000, 5_000_000)
    assert row["exit_ready_at"] == town.world.now + town.spec.economics.unbonding_s


def test_pay_whose_table_is_not_here_is_not_called_unlocked(told, town, books):
    books.record(1, 800_000)
    books.record(2, 700_000)
    books.begin_payout()
    books.unlock()
    for table in books.home.root.rglob("table-*.blob"):
        table.unlink()
    row, chain, _ = credits(told, town)
    assert chain["asked"]
    assert (row["unlocked"], row["credits"]["settled_micro"]) == (None, 800_000)
    assert "the credit table of round 2" in row["waiting"][-1]["waits_for"]


def test_a_peer_that_never_ran_has_its_stake_all_the_same(told, town):
    peer, address = town.add_peer()
    told("register", "--home", town.home, "--json")
    town.fund(address, 50)
    told("stake", "20", "--home", town.home, "--json")
    row, chain, _ = credits(told, town)
    assert chain["asked"]
    assert (row["peer"], row["address"], row["running"]) == (peer, address, False)
    assert (row["staked_micro"], row["credits"]["earned_micro"], row["waiting"]) == (20_000_000, 0, [])
    assert row["balance_wei"] == str(30 * 10**18)
    Home(town.home).peer("1").key_file.write_text("nonsense")
    assert told("credits", "--home", town.home, "--json")[1]["credits"] == []
