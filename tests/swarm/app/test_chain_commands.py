"""Orders of an owner, from the command line to the simulated chain and back."""

import json

import pytest

from chain.base import Enrol, Stake
from chain.fake import FakeChain
from protocol.errors import ChainError
from swarm.cli import execute
from swarm.settings.home import Home

ORDER = {"name", "nickname", "peer", "address", "chain_id", "run_id", "dry_run", "steps"}
STAKE = {
    "staked", "staked_micro", "staked_wei", "exiting", "exiting_micro", "exiting_wei", "exit_ready_at", "weight",
}  # fmt: skip
AMOUNT = {"amount", "amount_micro", "amount_wei"}
STEP = {"what", "intent", "gas", "fee", "fee_wei", "transaction", "gas_used", "block"}


def order(told, town, *arguments):
    return told(*arguments, "--home", town.home, "--json")


@pytest.fixture
def member(told, town):
    """A registered peer whose wallet holds 100 tokens: (peer id, address)."""
    peer, address = town.add_peer()
    assert order(told, town, "register")[0] == 0
    town.fund(address, 100)
    return peer, address


# --- register --------------------------------------------------------------------------------------------------------


def test_registering_makes_identity_and_wallet_and_says_what_comes_next(told, town):
    code, body, err = order(told, town, "register")
    mine = body["register"]
    assert code == 0
    assert mine.keys() == ORDER | STAKE | {"registered"}
    assert (mine["registered"], mine["dry_run"], mine["chain_id"], mine["run_id"]) == (True, False, 31337, town.spec.id)
    (step,) = mine["steps"]
    assert step.keys() == STEP
    assert (step["intent"], step["gas"], step["fee_wei"]) == ("Register", 130_000, str(130_000 * 10**9))
    assert step["transaction"].startswith("0x")
    assert town.world.record(mine["peer"]).owner == mine["address"]
    assert Home(town.home).peer("1").wallet_file.exists()
    assert "register: 130,000 gas, a fee of about 0.00013 in the coin of chain 31337" in err
    assert "`swarm stake 25`" in err


def test_a_registered_peer_is_not_registered_again(told, town, member):
    transactions = town.world.transactions
    code, body, err = order(told, town, "register")
    assert (code, body["register"]["steps"], body["register"]["registered"]) == (0, [], True)
    assert town.world.transactions == transactions
    assert "already" in err


def test_a_dry_run_of_a_stranger_makes_nothing_and_says_how_to_begin(told, town):
    code, body, _ = order(told, town, "register", "--dry-run")
    assert (code, body["error"]) == (2, "ConfigError")
    assert "without" in body["next"] or "register" in body["next"]
    assert not Home(town.home).peers.exists()


def test_a_peer_of_another_wallet_is_nobodys_to_order(told, town, member):
    home = Home(town.home).peer("1")
    home.wallet_file.unlink()
    town.add_peer()
    for command in (["register"], ["stake", "5"], ["unstake", "5"], ["withdraw"]):
        code, body, _ = order(told, town, *command)
        assert (code, body["error"]) == (3, "IdentityError")
        assert member[1] in body["what"]


# --- dry runs, and what is shown before anything is signed -----------------------------------------------------------


@pytest.mark.parametrize("command", [["register"], ["stake", "12.5"], ["unstake", "5"], ["withdraw"]])
def test_a_dry_run_shows_gas_and_fee_and_unlocks_nothing(told, town, command, monkeypatch):
    peer, address = town.add_peer()
    if command != ["register"]:
        order(told, town, "register")
        town.fund(address, 100)
        order(told, town, "stake", "20")
    if command == ["withdraw"]:
        order(told, town, "unstake", "5")
        town.world.pass_time(town.spec.economics.unbonding_s + 1)
    signed, transactions = list(town.signed), town.world.transactions
    Home(town.home).peer("1").wallet_file.with_name("wallet.password").unlink()  # nobody could unlock it
    code, body, err = order(told, town, *command, "--dry-run")
    assert code == 0, err
    (mine,) = body.values()
    (step,) = mine["steps"]
    assert (mine["dry_run"], mine["peer"], mine["address"]) == (True, peer, address)
    assert step["gas"] > 0
    assert int(step["fee_wei"]) == step["gas"] * 10**9
    assert (step["transaction"], step["gas_used"]) == ("", 0)
    assert f"{step['gas']:,} gas" in err
    assert (town.signed, town.world.transactions) == (signed, transactions)


def test_a_dry_run_in_words_is_the_answer_on_stdout(capsys, told, town, member):
    assert execute(["stake", "12.5", "--dry-run", "--home", str(town.home)]) == 0
    out, _ = capsys.readouterr()
    fee = "140,000 gas, a fee of about 0.00014 in the coin of chain 31337"
    assert out == f"stake 12.5 tokens: {fee}, paid by {member[1]}\n"


def test_the_price_is_shown_before_the_wallet_is_unlocked(capsys, told, town, member):
    Home(town.home).peer("1").wallet_file.with_name("wallet.password").unlink()
    code, body, err = order(told, town, "stake", "50")
    assert (code, body["error"]) == (3, "IdentityError")
    assert err.index("140,000 gas") < err.index("needs its password")
    assert town.world.record(member[0]).stake_micro == 0


def test_settings_for_another_chain_refuse_before_a_key_is_made_or_opened(told, town, monkeypatch):
    monkeypatch.setenv("SWARM_CHAIN__CHAIN_ID", "11155111")
    for command in (["register"], ["stake", "5"], ["unstake", "all"], ["withdraw"], ["register", "--dry-run"]):
        code, body, _ = order(told, town, *command)
        assert (code, body["error"], body["so_what"]) == (2, "ConfigError", "Nothing was signed or sent.")
        assert "11155111" in body["what"]
        assert "31337" in body["what"]
    assert not Home(town.home).peers.exists()


# --- stake -----------------------------------------------------------------------------------------------------------


def test_stake_is_typed_in_tokens_and_told_in_tokens_micro_and_wei(told, town, member):
    code, body, err = order(told, town, "stake", "50")
    mine = body["stake"]
    assert code == 0
    assert mine.keys() == ORDER | STAKE | AMOUNT
    assert (mine["amount"], mine["amount_micro"], mine["amount_wei"]) == (50.0, 50_000_000, "50" + "0" * 18)
    assert (mine["staked"], mine["staked_micro"], mine["exiting_micro"]) == (50.0, 50_000_000, 0)
    assert town.world.token_wei[member[1]] == 50 * 10**18
    assert "has 50 tokens staked" in err
    assert order(told, town, "stake", "0.25")[1]["stake"]["staked_micro"] == 50_250_000


def test_whoever_is_short_of_tokens_hears_what_the_wallet_holds(told, town, monkeypatch):
    _, address = town.add_peer()
    order(told, town, "register")
    town.fund(address, 3)

    async def refuses(_self, _intent):
        raise ChainError("No.", reason="ERC20InsufficientBalance")

    monkeypatch.setattr(FakeChain, "estimate", refuses)
    code, body, _ = order(told, town, "stake", "50")
    assert (code, body["error"]) == (5, "ChainError")
    assert body["what"] == f"The wallet {address} holds 3 tokens, which is too little."
    assert town.token.contracts.token in body["next"]


def test_a_stranger_to_the_registry_is_told_to_register(told, town):
    town.add_peer()
    for command in (["stake", "5"], ["unstake", "5"], ["withdraw"]):
        code, body, _ = order(told, town, *command)
        assert (code, body["next"]) == (5, "Run `swarm register` first.")


@pytest.mark.parametrize("amount", ["0", "-3", "fifty", "1e3", "0.0000001", "1,5", "", "9" * 25, "NaN", "0x10"])
@pytest.mark.parametrize("command", ["stake", "unstake"])
def test_an_amount_that_is_none_is_refused_before_anything_is_looked_at(told, town, command, amount):
    town.world.reachable = False
    code, body, _ = told(command, "--home", town.home, "--json", "--", amount)
    assert (code, body["error"], body["so_what"]) == (2, "ConfigError", "Nothing was signed or sent.")
    assert repr(amount[:40]) in body["what"]


def test_all_of_nothing_cannot_be_staked(told, town):
    assert order(told, town, "stake", "all")[0] == 2


def test_a_chain_that_is_away_is_a_network_error(told, town, member):
    town.world.reachable = False
    code, body, _ = order(told, town, "stake", "5")
    assert (code, body["error"]) == (4, "ChainUnreachable")


def test_a_stake_that_was_cut_off_is_made_once_when_it_is_repeated(told, town, member, monkeypatch):
    """The transaction got through, and the command died before it heard of it."""
    send = FakeChain.send

    async def dies(self, intent):
        if isinstance(intent, Stake):
            await send(self, intent)
            raise KeyboardInterrupt
        return await send(self, intent)

    monkeypatch.setattr(FakeChain, "send", dies)
    assert execute(["stake", "50", "--home", str(town.home)]) == 130
    monkeypatch.setattr(FakeChain, "send", send)
    assert town.world.record(member[0]).stake_micro == 50_000_000
    code, body, err = order(told, town, "stake", "50")
    assert code == 0
    assert "Finishing an earlier order first: stake 50 tokens." in err
    assert body["stake"]["staked_micro"] == 50_000_000
    assert order(told, town, "stake", "50")[1]["stake"]["staked_micro"] == 100_000_000


def test_a_stake_that_never_got_through_is_sent_by_the_next_order(told, town, member, monkeypatch):
    send = FakeChain.send

    async def cut(self, intent):
        if isinstance(intent, Stake):
            town.world.reachable = False
        return await send(self, intent)

    monkeypatch.setattr(FakeChain, "send", cut)
    code, body, _ = order(told, town, "stake", "30")
    assert (code, body["error"]) == (4, "ChainUnreachable")
    assert "written down" in body["so_what"]
    monkeypatch.setattr(FakeChain, "send", send)
    town.world.reachable = True
    body = order(told, town, "stake", "20")[1]["stake"]
    assert [step["what"] for step in body["steps"]] == ["stake 30 tokens", "stake 20 tokens"]
    assert body["staked_micro"] == 50_000_000


def test_a_stake_that_was_refused_is_forgotten(told, town, member, monkeypatch):
    send = FakeChain.send

    async def refuses(self, intent):
        if isinstance(intent, Stake):
            raise ChainError("No gas.", reason="NoGasMoney")
        return await send(self, intent)

    monkeypatch.setattr(FakeChain, "send", refuses)
    assert order(told, town, "stake", "30")[0] == 5
    monkeypatch.setattr(FakeChain, "send", send)
    assert order(told, town, "stake", "20")[1]["stake"]["staked_micro"] == 20_000_000


# --- unstake and withdraw --------------------------------------------------------------------------------------------


def test_stake_leaves_after_a_while_and_arrives_in_the_wallet(told, town, member):
    order(told, town, "stake", "50")
    code, body, err = order(told, town, "unstake", "20")
    mine = body["unstake"]
    assert code == 0
    assert (mine["staked_micro"], mine["exiting_micro"]) == (30_000_000, 20_000_000)
    assert mine["exit_ready_at"] == town.world.now + town.spec.economics.unbonding_s
    assert "20 tokens are leaving" in err
    code, body, _ = order(told, town, "withdraw")
    assert (code, body["error"]) == (5, "ChainError")
    assert body["what"].startswith("20 tokens stay liable until ")
    town.world.pass_time(town.spec.economics.unbonding_s)
    code, body, _ = order(told, town, "withdraw")
    assert code == 0
    assert (body["withdraw"]["amount"], body["withdraw"]["exiting_micro"]) == (20.0, 0)
    assert town.world.token_wei[member[1]] == 70 * 10**18


def test_all_of_the_stake_can_leave_in_one_word(told, town, member):
    order(told, town, "stake", "50")
    assert order(told, town, "unstake", "all")[1]["unstake"]["exiting_micro"] == 50_000_000
    code, body, _ = order(told, town, "unstake", "all")
    assert (code, body["error"]) == (2, "ConfigError")


def test_more_than_is_staked_cannot_leave(told, town, member):
    order(told, town, "stake", "50")
    code, body, _ = order(told, town, "unstake", "50.000001")
    assert (code, body["error"]) == (2, "ConfigError")
    assert "has 50 tokens staked; 50.000001 cannot leave." in body["what"]


def test_a_member_is_warned_when_it_would_be_none_any_more(told, town, member, capsys):
    order(told, town, "stake", "50")
    town.world.apply(member[1], Enrol(member[0]))
    assert "no member" in order(told, town, "unstake", "26", "--dry-run")[2]
    assert "no member" not in order(told, town, "unstake", "25", "--dry-run")[2]


def test_nothing_to_withdraw_is_no_failure(told, town, member):
    code, body, err = order(told, town, "withdraw")
    assert (code, body["withdraw"]["amount_micro"], body["withdraw"]["steps"]) == (0, 0, [])
    assert "Nothing is leaving" in err


def test_one_command_of_a_peer_sends_at_a_time(told, town, member):
    from swarm.app.errands import open_errands

    folder = Home(town.home).peer("1").run(town.spec.id).root
    with open_errands(folder):
        code, body, _ = order(told, town, "stake", "5")
    assert (code, body["what"]) == (2, "Another command of this peer is sending to the chain right now.")


def test_a_damaged_order_is_not_guessed_at(told, town, member):
    folder = Home(town.home).peer("1").run(town.spec.id).root
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "errand.json").write_text(json.dumps({"intent": {"type": "Nonsense"}}))
    code, body, _ = order(told, town, "stake", "5")
    assert (code, body["error"]) == (2, "ConfigError")
    assert "errand.json" in body["what"]
