"""Why this module exists: what the chain says is read here with web3 itself, not with the program under test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from web3 import Web3

from chain.abi import artifact
from chain.devchain import DevChain
from swarm.joining import read_join_file


def token_balances(home: Path, wallets: Iterable[str]) -> dict[str, int]:
    """Token balance in wei of each wallet, from the chain of a home that is not running: started from its state."""
    token = read_join_file(home / "join.yaml")

    def read(url: str) -> dict[str, int]:
        web3 = Web3(Web3.HTTPProvider(url))
        contract = web3.eth.contract(address=token.contracts.token, abi=artifact("SwarmToken")["abi"])
        return {wallet: contract.functions.balanceOf(wallet).call() for wallet in wallets}

    async def ask() -> dict[str, int]:
        chain = await DevChain.start(home / "host" / "chain")
        try:
            return await asyncio.to_thread(read, chain.url)
        finally:
            await chain.stop()

    return asyncio.run(ask())
