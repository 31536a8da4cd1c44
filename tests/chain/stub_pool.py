"""Why this module exists: a transaction pool that drops, waits, loses blocks and is overtaken, on command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_hash.auto import keccak
from hexbytes import HexBytes

from chain.fees import FeePolicy
from chain.nonces import WalletLog
from chain.rpc import Rpc
from chain.sender import Sender
from tests.chain.players import Player, secret
from tests.chain.stub_node import Refuses, StubNode

TO = Player("contract").wallet
CALL = "0x1234"


class Pool:
    """A node's transaction pool in a few lines: ``drop_first`` forgets so many transactions after accepting them, and
    ``mining`` false keeps them waiting."""

    def __init__(self) -> None:
        self.base_fee_wei = 10**9
        self.tips_wei: list[int] = []
        self.has_base_fee = True
        self.balance_wei = 10**18
        self.nonce = 0
        self.drop_first = 0
        self.mining = True
        self.reverts = False
        self.block = 7
        self.sent: list[dict] = []
        self.raw: list[str] = []
        self.waiting: dict[int, tuple[str, dict]] = {}
        self.mined: dict[str, dict] = {}

    def answers(self) -> dict:
        answers = {
            "eth_estimateGas": lambda call: hex(50_000),
            "eth_getTransactionCount": self.count,
            "eth_getBlockByNumber": lambda tag, full: {"number": hex(self.block)},
            "eth_gasPrice": lambda: hex(self.base_fee_wei),
            "eth_getBalance": lambda address, tag: hex(self.balance_wei),
            "eth_sendRawTransaction": self.accept,
            "eth_getTransactionReceipt": lambda transaction: self.mined.get(transaction),
        }
        return answers | ({"eth_feeHistory": self.fee_history} if self.has_base_fee else {})

    def fee_history(self, blocks: str, newest: str, percentiles: list[int]) -> dict:
        return {
            "baseFeePerGas": ["0x1", hex(self.base_fee_wei)],
            "reward": [[hex(tip)] for tip in self.tips_wei],
        }

    def count(self, address: str, tag: str) -> str:
        known = self.nonce
        while tag == "pending" and known in self.waiting:
            known += 1
        return hex(known)

    def accept(self, raw: str) -> str:
        fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict() if raw.startswith("0x02") else {"raw": raw}
        nonce = fields.get("nonce", self.nonce)
        self.raw.append(raw)
        if nonce < self.nonce:
            raise Refuses(-32003, "nonce too low")
        transaction = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
        former = self.waiting.get(nonce)
        if former and former[0] == transaction:
            raise Refuses(-32003, "transaction already imported")
        if former and fields["maxFeePerGas"] * 8 < former[1]["maxFeePerGas"] * 9:
            raise Refuses(-32003, "replacement transaction underpriced")
        self.sent.append(fields)
        if self.drop_first:
            self.drop_first -= 1
            return transaction
        self.waiting[nonce] = (transaction, fields)
        if self.mining:
            self.mine()
        return transaction

    def mine(self) -> None:
        self.block += 1
        while self.nonce in self.waiting:
            transaction, _ = self.waiting.pop(self.nonce)
            self.nonce += 1
            self.mined[transaction] = {
                "transactionHash": transaction,
                "gasUsed": "0xc350",
                "blockNumber": hex(self.block),
                "blockHash": f"0x{self.block:064x}",
                "status": "0x0" if self.reverts else "0x1",
            }

    def lose_block(self, nonce: int) -> None:
        """The chain was reorganised: what was mined from ``nonce`` on is neither mined nor known."""
        self.nonce, self.mined, self.waiting = nonce, {}, {}

    def foreign(self) -> None:
        """Somebody else sends from the same wallet, and is mined."""
        self.nonce += 1
        self.block += 1


class Desk:
    """A sender on a stub node. With a ``path`` it writes the wallet's log there, as another process of the wallet."""

    def __init__(self, pool: Pool, path: Path | None = None, *, fees: FeePolicy | None = None, **more: object) -> None:
        self.node = StubNode(**pool.answers() | more)
        self.path, self.fees, self.timeout_s = path, fees, 15.0

    async def __aenter__(self) -> Sender:
        await self.node.__aenter__()
        self.rpc = Rpc([self.node.url], num_attempts=1)
        return Sender(
            self.rpc,
            Account.from_key(secret("wallet")),
            31337,
            receipt_timeout_s=self.timeout_s,
            log=WalletLog(self.path),
            fees=self.fees,
        )

    async def __aexit__(self, *_: object) -> None:
        await self.rpc.close()
        await self.node.__aexit__()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  (files and stubs set no events)
            await asyncio.sleep(0.01)
