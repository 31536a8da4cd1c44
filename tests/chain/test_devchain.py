"""The dev chain with real processes: killed, restarted, orphaned."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from chain.base import Enrol
from chain.devchain import DevChain, anvil_command
from chain.gate import Faucet, Gate
from chain.rpc import Rpc
from chain.sender import Sender
from chain.state_guard import copies_of
from chain.web3_chain import Web3Chain
from protocol.errors import ChainError, ChainUnreachable, ConfigError
from tests.chain.conftest import RULES, found
from tests.chain.players import Player

ADA = Player("ada")
FREE = msgspec.structs.replace(RULES, min_stake_micro=0)
"""Nobody needs a stake: there is no faucet here."""


def test_the_chain_listens_on_loopback_only_and_has_no_well_known_accounts(tmp_path):
    command = anvil_command(Path("/bin/anvil"), tmp_path, 1234, 0.5, 31337)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--accounts") + 1] == "0"
    assert command[command.index("--block-time") + 1] == "0.5"
    assert command[command.index("--state-interval") + 1] == "1"


@pytest.mark.asyncio
async def test_a_missing_binary_and_a_taken_port_are_clear_errors(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            await DevChain.start(tmp_path, port=port, binary=Path("/bin/true"))
    assert str(port) in caught.value.what


@pytest.mark.asyncio
async def test_a_program_that_ends_at_once_is_reported_with_its_last_words(tmp_path):
    program = tmp_path / "anvil"
    program.write_text("#!/bin/sh\necho the state file is damaged >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(ChainError) as caught:
        await DevChain.start(tmp_path / "chain", binary=program)
    assert "the state file is damaged" in caught.value.what


def wait_for_two_writes(file: Path) -> None:
    """anvil writes its state once a second; the second write from now on holds everything mined before."""
    for _ in range(2):
        written = file.stat().st_mtime_ns if file.exists() else 0
        while not file.exists() or file.stat().st_mtime_ns == written:
            time.sleep(0.05)


def wait_for_newer_copy(state: Path, than_ns: int) -> None:
    while not any(copy.exists() and copy.stat().st_mtime_ns > than_ns for copy in copies_of(state)):
        time.sleep(0.05)


@pytest.mark.integration
@pytest.mark.asyncio
async def test_everything_survives_kill_9_and_peers_just_wait(tmp_path):
    chain = await DevChain.start(tmp_path, block_time_s=0.25)
    port = int(chain.url.rsplit(":", 1)[1])
    deployment = await found(chain, tmp_path, FREE)
    node = Rpc([chain.url])
    gate = Gate(chain.url, faucet=Faucet(Sender(node, chain.account, 31337)))
    url = await gate.start()
    ada = Web3Chain([url], deployment.contracts, ADA.account)
    registered = await ada.send(ADA.registration(deployment.contracts))
    header = await node.request("eth_getBlockByNumber", hex(registered.block), False)
    await asyncio.to_thread(wait_for_two_writes, tmp_path / "chain-state.json")

    os.kill(chain.pid, signal.SIGKILL)
    assert await chain.wait() == -signal.SIGKILL
    with pytest.raises(ChainUnreachable):
        await ada.clock()
    sending = asyncio.create_task(ada.send(Enrol(ADA.peer)))
    chain = await DevChain.start(tmp_path, port=port, block_time_s=0.25)
    try:
        receipt = await sending
    except ChainUnreachable:
        receipt = await ada.send(Enrol(ADA.peer))
    assert receipt.transaction
    assert await node.request("eth_getBlockByNumber", hex(registered.block), False) == header
    assert (await node.request("eth_getTransactionReceipt", registered.transaction))["status"] == "0x1"
    record = await ada.peer(ADA.peer)
    assert record is not None
    assert (record.owner, record.enrolled) == (ADA.wallet, True)
    again = await found(chain, tmp_path, FREE)
    assert again == deployment
    await ada.close()
    await gate.stop()
    await node.close()
    await chain.stop()
    assert chain.exit_code == 0


@pytest.mark.integration
@pytest.mark.asyncio
async def test_an_open_round_keeps_its_seed_over_a_restart(tmp_path):
    chain = await DevChain.start(tmp_path, block_time_s=0.25)
    deployment = await found(chain, tmp_path, FREE)
    seeds = []
    for _ in range(2):
        node = Rpc([chain.url])
        gate = Gate(chain.url, faucet=Faucet(Sender(node, chain.account, 31337)))
        players = [Player(name) for name in ("ada", "ben", "cyd")]
        chains = [Web3Chain([await gate.start()], deployment.contracts, player.account) for player in players]
        for mine, player in zip(chains, players, strict=True):
            await mine.send(player.registration(deployment.contracts))
            await mine.send(Enrol(player.peer))
        first = await chains[0].clock()
        while (view := await chains[0].clock()).block < first.block + 3:  # noqa: ASYNC110 - the chain tells nobody
            await asyncio.sleep(0.05)
        seeds.append((view.round, view.seed))
        for part in (*chains, node):
            await part.close()
        await gate.stop()
        await chain.stop()
        chain = await DevChain.start(tmp_path, block_time_s=0.25)
    await chain.stop()
    assert seeds[0] == seeds[1]
    assert seeds[0][0] == 1


@pytest.mark.integration
@pytest.mark.asyncio
async def test_an_orderly_stop_keeps_the_very_last_block(tmp_path):
    chain = await DevChain.start(tmp_path, block_time_s=0.1)
    node = Rpc([chain.url])
    mined = await Sender(node, chain.account, 31337).send(ADA.wallet, value_wei=5)
    await chain.stop()
    await node.close()
    chain = await DevChain.start(tmp_path, block_time_s=0.1)
    node = Rpc([chain.url])
    assert int(await node.request("eth_getBalance", ADA.wallet, "latest"), 16) == 5
    assert await node.request("eth_getTransactionReceipt", mined.transaction)
    await node.close()
    await chain.stop()


@pytest.mark.integration
@pytest.mark.asyncio
async def test_a_state_file_cut_in_half_by_a_kill_is_put_back_from_its_copy(tmp_path):
    chain = await DevChain.start(tmp_path, block_time_s=0.1)
    node = Rpc([chain.url])
    await Sender(node, chain.account, 31337).send(ADA.wallet, value_wei=5)
    state = tmp_path / "chain-state.json"
    await asyncio.to_thread(wait_for_two_writes, state)
    written = max((copy.stat().st_mtime_ns for copy in copies_of(state) if copy.exists()), default=0)
    await asyncio.to_thread(wait_for_newer_copy, state, written)
    os.kill(chain.pid, signal.SIGKILL)
    await chain.wait()
    await node.close()
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    chain = await DevChain.start(tmp_path, block_time_s=0.1)
    node = Rpc([chain.url])
    assert int(await node.request("eth_getBalance", ADA.wallet, "latest"), 16) == 5
    await node.close()
    await chain.stop()


@pytest.mark.integration
@pytest.mark.asyncio
async def test_transactions_of_the_lost_seconds_are_given_back_by_the_gate(tmp_path):
    """The chain is set back to an older state: as if the kill had lost everything since."""
    chain = await DevChain.start(tmp_path, block_time_s=0.1)
    port = int(chain.url.rsplit(":", 1)[1])
    deployment = await found(chain, tmp_path, FREE)
    node = Rpc([chain.url])
    gate = Gate(chain.url)
    ada = Web3Chain([await gate.start()], deployment.contracts, ADA.account)
    await Sender(node, chain.account, 31337).send(ADA.wallet, value_wei=10**18)
    await chain.stop()
    before = (tmp_path / "chain-state.json").read_bytes()
    chain = await DevChain.start(tmp_path, port=port, block_time_s=0.1)
    await ada.send(ADA.registration(deployment.contracts))
    await ada.send(Enrol(ADA.peer))
    os.kill(chain.pid, signal.SIGKILL)
    await chain.wait()
    (tmp_path / "chain-state.json").write_bytes(before)
    chain = await DevChain.start(tmp_path, port=port, block_time_s=0.1)
    assert await ada.peer(ADA.peer) is None
    assert await gate.resend() == 2
    await Sender(node, chain.account, 31337).send(ADA.wallet)  # mined after the two
    record = await ada.peer(ADA.peer)
    assert record is not None
    assert record.enrolled
    assert await gate.resend() == 0
    await ada.close()
    await gate.stop()
    await node.close()
    await chain.stop()


@pytest.mark.integration
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel does this on Linux only")
def test_the_chain_dies_with_the_process_that_started_it(tmp_path):
    program = f"""
import asyncio, os, signal
from pathlib import Path
from chain.devchain import DevChain
async def main():
    chain = await DevChain.start(Path({str(tmp_path)!r}))
    print(chain.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    deadline_s = 5.0
    with subprocess.Popen(["tail", f"--pid={pid}", "-f", "/dev/null"]) as watcher:
        assert watcher.wait(timeout=deadline_s) == 0
