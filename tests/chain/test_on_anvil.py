"""Where the peer meets the real contracts: digests, seeds, draws, events, the faucet. On anvil."""

import pytest
from eth_abi.abi import decode
from eth_account import Account
from eth_hash.auto import keccak
from web3 import AsyncHTTPProvider, AsyncWeb3

from chain.abi import artifact, function
from chain.base import WEI_PER_MICRO, Accuse, Advance, Cost, Enrol, Intent, Stake
from chain.deploy import SUPPLY_WEI
from chain.keys import peer_key, sign_digest
from chain.rpc import Rpc
from chain.sender import Sender
from chain.sortition import POSTER, QUORUM, is_drawn, ticket
from chain.typed_data import record_digest, registration_digest, round_result_digest, round_result_hash
from protocol.errors import ChainError
from protocol.ids import peer_id_bytes
from protocol.messages import RoundResult
from tests.chain.conftest import BUDGET_MICRO, RULES, AnvilBench
from tests.chain.players import Player, RsaPlayer, content, result, secret, settle

pytestmark = [pytest.mark.asyncio, pytest.mark.integration]

ADA, BEN, CYD = (Player(name) for name in ("ada", "ben", "cyd"))
EIP_2935 = "0x0000F90827F1C53a10cb7A02335B175320002935"


async def read(anvil: AnvilBench, contract: str, view: str, *arguments: object):
    address = {
        "PeerRegistry": anvil.contracts.registry,
        "RoundClock": anvil.contracts.clock,
        "Contributions": anvil.contracts.contributions,
        "Settlement": anvil.contracts.settlement,
        "SwarmToken": anvil.contracts.token,
    }[contract]
    called = function(contract, view)
    return called.result(
        await anvil.rpc.request("eth_call", {"to": address, "data": called.call_data(*arguments)}, "latest")
    )


def sender(anvil: AnvilBench, player: Player) -> Sender:
    return Sender(Rpc([anvil.url]), player.account, anvil.contracts.chain_id)


async def refused_data(anvil: AnvilBench, player: Player, to: str, data: str) -> str:
    with pytest.raises(ChainError) as caught:
        await sender(anvil, player).send(to, data)
    return caught.value.reason


async def test_digests_are_those_of_the_contracts(anvil: AnvilBench) -> None:
    outcome = RoundResult(7, *(content(name) for name in "abcd"), 12_345)
    fields = (7, *(bytes.fromhex(content(name)) for name in "abcd"), 12_345)
    assert await read(anvil, "Contributions", "resultDigest", fields) == round_result_digest(anvil.contracts, outcome)
    for player in (ADA, RsaPlayer("rsa")):
        expected = registration_digest(anvil.contracts, player.peer, player.signer, player.wallet, 4)
        arguments = (peer_id_bytes(player.peer), player.signer, player.wallet, 4)
        assert await read(anvil, "PeerRegistry", "registrationDigest", *arguments) == expected


async def test_the_registry_gives_peer_ids_back_byte_for_byte(anvil: AnvilBench) -> None:
    for player in (ADA, RsaPlayer("rsa")):
        await anvil.chain(player).send(player.registration(anvil.contracts))
        owner, signer, nonce, raw_id = await read(anvil, "PeerRegistry", "peer", peer_key(player.peer))
        assert (owner.lower(), signer.lower()) == (player.wallet.lower(), player.signer.lower())
        assert (nonce, raw_id) == (1, peer_id_bytes(player.peer))
        assert await read(anvil, "PeerRegistry", "peerKeyOf", player.signer) == peer_key(player.peer)


async def test_only_rsa_keys_of_2048_bits_are_registered(anvil: AnvilBench) -> None:
    register = function("PeerRegistry", "registerRsa")
    for modulus in (b"", b"\xff" * 128, b"\x7f" + b"\xff" * 255, b"\xff" * 512):
        data = register.call_data(modulus, ADA.signer, 0, b"\x01" * 256, bytes(32), bytes(32))
        assert await refused_data(anvil, ADA, anvil.contracts.registry, data) == "ModulusUnsupported"


async def test_only_the_runs_own_contracts_move_it(anvil: AnvilBench) -> None:
    at, key = anvil.contracts, peer_key(ADA.peer)
    for contract, data in (
        (at.clock, function("RoundClock", "recordRollback").call_data()),
        (at.clock, function("RoundClock", "eject").call_data(key, 9)),
        (at.contributions, function("Contributions", "rollback").call_data(0, bytes(32), bytes(32), 0)),
        (at.vault, function("StakeVault", "slash").call_data(key, 1, ADA.wallet)),
        (at.vault, function("StakeVault", "splitBond").call_data(ADA.wallet, 1, ADA.wallet)),
        (at.settlement, function("Settlement", "strike").call_data(key, 1)),
    ):
        assert await refused_data(anvil, ADA, contract, data) == "NotOfThisRun"


async def test_a_member_resigns_from_the_next_round_on(anvil: AnvilBench) -> None:
    await anvil.join(ADA, BEN, CYD)
    resign = function("RoundClock", "resign").call_data(peer_key(CYD.peer))
    assert await refused_data(anvil, ADA, anvil.contracts.clock, resign) == "NotThePeersOwner"
    await sender(anvil, CYD).send(anvil.contracts.clock, resign)
    assert await refused_data(anvil, CYD, anvil.contracts.clock, resign) == "NotEnrolled"
    assert len((await anvil.chain(ADA).clock()).members) == 3
    await anvil.pass_time(100)
    await anvil.chain(ADA).send(Advance(1))
    assert len((await anvil.chain(ADA).clock()).members) == 2
    assert await read(anvil, "RoundClock", "isMember", peer_key(CYD.peer), 1)  # the past stays known
    late = result(1, content("credits"), 1)
    await anvil.chain(BEN).send(settle(anvil.contracts, late, BEN, CYD))


async def test_the_seed_is_the_hash_of_the_block_after_the_opening(anvil: AnvilBench) -> None:
    await anvil.join(ADA, BEN, CYD)
    await anvil.pass_time(0)
    view = await anvil.chain(ADA).clock()
    opened_block = (await read(anvil, "RoundClock", "clock"))[4]
    block = await anvil.rpc.request("eth_getBlockByNumber", hex(opened_block + 1), False)
    assert "0x" + view.seed == block["hash"]
    await anvil.pass_time(0)
    assert (await read(anvil, "RoundClock", "seedOf", 1)).hex() == view.seed
    await anvil.rpc.request("anvil_mine", hex(300))  # beyond BLOCKHASH, within the history contract
    assert (await anvil.chain(ADA).clock()).seed == view.seed
    await anvil.chain(ADA).send(settle(anvil.contracts, result(1, content("credits"), 1), ADA, BEN))
    assert (await read(anvil, "RoundClock", "seedOf", 1)).hex() == view.seed
    assert (await anvil.chain(ADA).clock()).seed != view.seed


async def test_a_seed_that_nobody_wrote_down_in_time_has_a_known_substitute(anvil: AnvilBench) -> None:
    await anvil.join(ADA, BEN, CYD)
    previous = await read(anvil, "RoundClock", "seedOf", 0)
    history = await anvil.rpc.request("eth_getCode", EIP_2935, "latest")
    await anvil.rpc.request("anvil_setCode", EIP_2935, "0x")
    try:
        await anvil.rpc.request("anvil_mine", hex(300))
        expected = keccak(previous + (1).to_bytes(32, "big"))
        assert (await anvil.chain(ADA).clock()).seed == expected.hex()
        await sender(anvil, ADA).send(anvil.contracts.clock, function("RoundClock", "fixSeed").call_data())
        assert await read(anvil, "RoundClock", "seedOf", 1) == expected
    finally:
        await anvil.rpc.request("anvil_setCode", EIP_2935, history)


async def test_everything_can_be_rebuilt_from_events(anvil: AnvilBench) -> None:
    await anvil.join(ADA, BEN, CYD)
    outcome = result(1, content("credits"), 9)
    await anvil.chain(BEN).send(settle(anvil.contracts, outcome, ADA, CYD, poster=BEN))
    addresses = [anvil.contracts.registry, anvil.contracts.clock, anvil.contracts.contributions]
    logs = await anvil.rpc.request("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": addresses})
    events = [(names()[log["topics"][0]], log) for log in logs]
    order = [name for name, _ in events if name not in ("SeedFixed", "SeatChanged", "Initialized")]
    assert order == (
        ["RoundOpened"] + ["PeerRegistered", "MemberEnrolled"] * 3 + ["RoundOpened", "RoundSettled", "RoundOpened"]
    )
    registered = [log for name, log in events if name == "PeerRegistered"]
    assert [decode(["bytes"], bytes.fromhex(log["data"][2:]))[0] for log in registered] == [
        peer_id_bytes(player.peer) for player in (ADA, BEN, CYD)
    ]
    (settled,) = (log for name, log in events if name == "RoundSettled")
    assert int(settled["topics"][1], 16) == 1
    fields = decode(
        ["bytes32", "bytes32", "bytes32", "bytes32", "uint256", "bytes32", "uint256"],
        bytes.fromhex(settled["data"][2:]),
    )
    assert fields[0].hex() == outcome.contributions_root
    assert fields[3].hex() == outcome.credits_root
    assert fields[5] == peer_key(BEN.peer)
    assert fields[6] == 2
    assert await read(anvil, "Contributions", "resultHash", 1) == round_result_hash(outcome)


async def test_the_budget_lies_in_escrow_and_web3_sees_it(anvil: AnvilBench) -> None:
    web3 = AsyncWeb3(AsyncHTTPProvider(anvil.url))
    token = web3.eth.contract(address=anvil.contracts.token, abi=artifact("SwarmToken")["abi"])
    assert await token.functions.totalSupply().call() == SUPPLY_WEI
    budget_wei = BUDGET_MICRO * WEI_PER_MICRO
    assert await token.functions.balanceOf(anvil.contracts.settlement).call() == budget_wei
    founder = anvil.dev_chain.account.address
    assert await token.functions.balanceOf(founder).call() == SUPPLY_WEI - budget_wei
    assert (await token.functions.symbol().call(), await token.functions.decimals().call()) == ("SWARM", 18)
    await web3.provider.disconnect()


async def test_a_wallet_without_gas_money_is_served_by_the_faucet(anvil: AnvilBench) -> None:
    newcomer = Player("newcomer without money")
    newcomer.account = Account.from_key(secret(str(anvil.contracts.token)))
    newcomer.wallet = newcomer.account.address
    chain = anvil.chain_for(newcomer.account)
    assert (await chain.balance(newcomer.wallet)).gas_wei == 0
    await chain.send(newcomer.registration(anvil.contracts))
    assert (await chain.balance(newcomer.wallet)).gas_wei > 0


async def test_what_somebody_does_between_the_look_and_the_estimate_costs_nothing(
    anvil: AnvilBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await anvil.join(ADA)
    chain, registration, looks = anvil.chain(ADA), ADA.registration(anvil.contracts), list[bool]()
    is_done = chain._is_done

    async def late(intent: Intent) -> bool:
        looks.append(bool(looks) and await is_done(intent))
        return looks[-1]

    monkeypatch.setattr(chain, "_is_done", late)
    assert await chain.estimate(registration) == Cost(0, 0)
    assert looks == [False, True]


async def test_who_shows_what_another_one_has_shown_is_done_though_no_view_says_so_yet(
    anvil: AnvilBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await anvil.join(ADA, BEN, CYD)
    contents = content("one"), content("other")
    digests = [record_digest(anvil.contracts, anvil.run, "contribution", 1, one) for one in contents]
    first, second = (sign_digest(CYD.secret, digest) for digest in digests)
    accusation = Accuse(CYD.peer, "contribution", 1, contents[0], first, contents[1], second)
    assert (await anvil.chain(ADA).send(accusation)).transaction
    late = anvil.chain(BEN)

    async def not_yet(intent: Intent) -> bool:
        return False

    monkeypatch.setattr(late, "_is_done", not_yet)
    assert (await late.send(accusation)).transaction == ""
    with pytest.raises(ChainError) as caught:
        await late.estimate(accusation)
    assert caught.value.reason == "AlreadyProven"


async def test_an_estimate_asks_no_faucet_and_refuses_as_the_contract_does(anvil: AnvilBench) -> None:
    await anvil.join(ADA)
    chain = anvil.chain(ADA)
    with pytest.raises(ChainError) as caught:
        await chain.estimate(Stake(ADA.peer, RULES.min_stake_micro, 1))
    assert caught.value.reason == "ERC20InsufficientBalance"
    with pytest.raises(ChainError) as caught:
        await chain.estimate(Advance(0))
    assert caught.value.reason == "RoundStillOpen"


async def test_a_transaction_overtaken_by_another_counts_as_done(anvil: AnvilBench) -> None:
    """Two peers advance the same round at once; both are content, one transaction did it."""
    import asyncio

    await anvil.join(ADA, BEN, CYD)
    await anvil.pass_time(100)
    receipts = await asyncio.gather(*(anvil.chain(player).send(Advance(1)) for player in (ADA, BEN, CYD)))
    assert sum(receipt.transaction != "" for receipt in receipts) == 1
    assert (await anvil.chain(ADA).clock()).round == 2


async def test_draws_are_those_of_the_contract(anvil: AnvilBench) -> None:
    await anvil.give_tokens(ADA, 3 * RULES.min_stake_micro)
    await anvil.join(ADA, units=3)
    await anvil.join(BEN, CYD)
    for round in range(1, 5):
        await anvil.pass_time(RULES.round_s)
        await anvil.pass_time(0)
        view = await anvil.chain(ADA).clock()
        for name, domain in (("quorum", QUORUM), ("poster", POSTER)):
            for member in view.members:
                for expected in range(1, 6):
                    ours = expected >= view.total_weight or is_drawn(
                        ticket(view.seed, domain, round, member.signer),
                        weight=member.weight,
                        total_weight=view.total_weight,
                        expected=expected,
                    )
                    asked = keccak(name.encode()), round, member.signer, expected
                    assert await read(anvil, "RoundClock", "isDrawn", *asked) == ours
        await anvil.chain(ADA).send(Advance(round))


async def test_enrolling_an_unregistered_peer_is_refused(anvil: AnvilBench) -> None:
    with pytest.raises(ChainError) as caught:
        await anvil.chain(ADA).send(Enrol(ADA.peer))
    assert caught.value.reason == "NotThePeersOwner"


def names() -> dict[str, str]:
    """Event topics of all contracts."""
    found = {}
    for contract in ("PeerRegistry", "RoundClock", "Contributions"):
        for entry in artifact(contract)["abi"]:
            if entry["type"] == "event":
                signature = f"{entry['name']}({','.join(part['type'] for part in entry['inputs'])})"
                found["0x" + keccak(signature.encode()).hex()] = entry["name"]
    return found
