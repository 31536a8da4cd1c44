"""Why this module exists: every part of the simulated chain stands on the same block, time, rules and tokens."""

from __future__ import annotations

from typing import Any, NoReturn

from eth_hash.auto import keccak

from chain.abi import Refusal
from chain.base import WEI_PER_MICRO, Contracts
from chain.keys import recover_signer
from chain.refusals import chain_error
from chain.rules import Rules
from protocol.errors import BadRecord
from protocol.ids import Address, ContentId


class Ground:
    """``now``: unix seconds. ``token_wei``: by wallet; ``run``: the run's id, part of every signed record."""

    def __init__(self, rules: Rules, contracts: Contracts, run: ContentId, budget_micro: int, now: int) -> None:
        self.rules = rules
        self.contracts = contracts
        self.run = run
        self.budget_micro = budget_micro
        self.now = now
        self.block = 1
        self.token_wei: dict[Address, int] = {}
        self._gifted: set[Address] = set()

    def pay(self, to: Address, amount_micro: int) -> None:
        self.token_wei[to] = self.token_wei.get(to, 0) + amount_micro * WEI_PER_MICRO

    def take(self, wallet: Address, amount_micro: int) -> None:
        """Take tokens out of a wallet. One that is short is given the minimum stake first, once, as a faucet does."""
        short = self.token_wei.get(wallet, 0) < amount_micro * WEI_PER_MICRO
        if short and wallet not in self._gifted:
            self._gifted.add(wallet)
            self.pay(wallet, self.rules.min_stake_micro)
        if self.token_wei.get(wallet, 0) < amount_micro * WEI_PER_MICRO:
            refuse("ERC20InsufficientBalance", sender=wallet, needed=amount_micro * WEI_PER_MICRO)
        self.pay(wallet, -amount_micro)


def block_hash(number: int) -> str:
    """The hash of a simulated block, hence the seed of the round that the block before it opened."""
    return keccak(f"block {number}".encode()).hex()


def refuse(name: str, **arguments: Any) -> NoReturn:
    raise chain_error(Refusal(name, arguments))


def recovered(digest: bytes, signature: bytes) -> Address | None:
    try:
        return recover_signer(digest, signature)
    except BadRecord:
        return None


def is_proved(root: ContentId, key: bytes, value: int, proof: tuple[ContentId, ...]) -> bool:
    """Whether the line (key, value) is in the tree behind ``root``."""
    node = keccak(keccak(key + value.to_bytes(32, "big")))
    for sibling in map(bytes.fromhex, proof):
        node = keccak(min(node, sibling) + max(node, sibling))
    return node.hex() == root
