"""Why this module exists: what the chain says is read here with web3 itself, not with the program under test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from web3 import Web3

from chain.abi import artifact
from chain.devchain import DevChain
from chain.keys import peer_key
from protocol.ids import PeerId
from swarm.settings.joining import read_join_file


def token_balances(home: Path, wallets: Iterable[str]) -> dict[str, int]:
    """Token balance in wei of each wallet, from the chain of a home that is not running: started from its state."""
    token = read_join_file(home / "join.yaml").contracts.token
    return _read(home, token, "SwarmToken", lambda contract, who: contract.functions.balanceOf(who).call(), wallets)


def stakes(home: Path, peers: Iterable[PeerId]) -> dict[str, int]:
    """What each peer has at stake, in wei, likewise."""
    vault = read_join_file(home / "join.yaml").contracts.vault

    def stake(contract: Any, peer: str) -> int:
        active_wei, exiting_wei, _ = contract.functions.stakeOf(peer_key(PeerId(peer))).call()
        return int(active_wei + exiting_wei)

    return _read(home, vault, "StakeVault", stake, peers)


def open_games(home: Path, wallets: Iterable[str]) -> dict[str, int]:
    """How many games that each wallet opened are not decided, likewise."""
    disputes = read_join_file(home / "join.yaml").contracts.disputes

    def undecided(contract: Any, wallet: str) -> int:
        opened = {log.args.game: log.args.challenger for log in contract.events.DisputeOpened.get_logs(from_block=0)}
        decided = {log.args.game for log in contract.events.DisputeDecided.get_logs(from_block=0)}
        return sum(who == wallet for game, who in opened.items() if game not in decided)

    return _read(home, disputes, "DisputeGame", undecided, wallets)


def _read(home: Path, at: str, name: str, ask_for: Callable[[Any, str], int], whom: Iterable[str]) -> dict[str, int]:
    def read(url: str) -> dict[str, int]:
        contract = Web3(Web3.HTTPProvider(url)).eth.contract(address=at, abi=artifact(name)["abi"])
        return {who: ask_for(contract, who) for who in whom}

    async def ask() -> dict[str, int]:
        chain = await DevChain.start(home / "host" / "chain")
        try:
            return await asyncio.to_thread(read, chain.url)
        finally:
            await chain.stop()

    return asyncio.run(ask())
