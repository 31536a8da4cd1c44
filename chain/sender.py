"""Why this module exists: a transaction is only done when it is mined, and much can happen on the way there.

One ``Sender`` per account and process. Nonces are read from the node's own pool, under a lock until the transaction is
in it: what the node forgot (a restart) leaves no gap for long, and another process that uses the same wallet is at
worst a retry. A transaction that is not mined in time is sent again as it was, then with higher fees.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from chain.abi import decode_refusal
from chain.ethereum import LocalAccount
from chain.refusals import chain_error
from chain.rpc import Rpc, RpcRefused, field, gather, quantity
from protocol.errors import ChainError, ChainUnreachable
from protocol.ids import Address

RECEIPT_POLL_S = 0.1
RECEIPT_TIMEOUT_S = 90.0
RESEND_AFTER_S = 4.0
RAISE_FEE_AFTER_S = 12.0
MIN_TIP_WEI = 1_000_000
METHOD_NOT_FOUND = -32601
MAX_NONCES = 8
"""How often a transaction may lose its nonce to another one before this is given up."""

_NONCE_TROUBLE = ("nonce too low", "nonce is too low", "underpriced", "already imported", "nonce too high")
_KNOWN_ALREADY = ("already known", "already imported", "alreadyknown")


class Mined(msgspec.Struct, frozen=True):
    """A transaction in a block. ``gas`` used; ``succeeded``: not reverted."""

    transaction: str
    gas: int
    block: int
    succeeded: bool


class Sender:
    """Signs and sends from ``account`` and waits for receipts. Raises ``ChainError`` and ``ChainUnreachable``."""

    def __init__(
        self, rpc: Rpc, account: LocalAccount, chain_id: int, *, receipt_timeout_s: float = RECEIPT_TIMEOUT_S
    ) -> None:
        self._rpc = rpc
        self._account = account
        self._chain_id = chain_id
        self._receipt_timeout_s = receipt_timeout_s
        self._lock = asyncio.Lock()

    @property
    def address(self) -> Address:
        return Address(self._account.address)

    async def nonce(self) -> int:
        """The nonce of this account's next transaction, those waiting in the node's pool included."""
        return quantity(await self._rpc.request("eth_getTransactionCount", self.address, "pending"))

    async def send(self, to: str | None, data: str = "0x", value_wei: int = 0) -> Mined:
        """Send a call (or a creation, ``to`` = ``None``) and wait until it is mined.

        Raises ``ChainError`` with the contract's reason when it would revert (nothing is sent then) or did revert,
        ``ChainUnreachable`` when it is not mined in time: it may still be mined later.
        """
        call = {"from": self.address, "data": data, "value": hex(value_wei)} | ({"to": to} if to else {})
        gas_limit = await self._estimate(call)
        for _ in range(MAX_NONCES):
            try:
                async with self._lock:
                    fields = await self._price(call, gas_limit)
                    transaction = await self._broadcast(fields)
                return await self._wait(fields, transaction, call)
            except _NonceUsed:
                continue
        raise ChainUnreachable(
            "Another process keeps sending from the same wallet.",
            "Nothing was lost.",
            "Run one peer per wallet at a time.",
        )

    async def _estimate(self, call: dict[str, Any]) -> int:
        try:
            estimate = quantity(await self._rpc.request("eth_estimateGas", call))
        except RpcRefused as refused:
            raise contract_error(refused) from refused
        # State may move before it is mined (somebody else's call may make ours open a round): leave room, unused gas
        # costs nothing.
        return estimate * 5 // 4 + 150_000

    async def _price(self, call: dict[str, Any], gas_limit: int) -> dict[str, Any]:
        nonce, block, balance = await gather(
            self.nonce(),
            self._rpc.request("eth_getBlockByNumber", "latest", False),
            self._rpc.request("eth_getBalance", self.address, "latest"),
        )
        base_fee_wei = quantity(field(block, "baseFeePerGas"))
        tip_wei = max(MIN_TIP_WEI, base_fee_wei // 10)
        max_fee_wei = 2 * base_fee_wei + tip_wei
        needed_wei = int(call["value"], 16) + gas_limit * max_fee_wei
        if quantity(balance) < needed_wei:
            await self._ask_faucet(needed_wei)
        return {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": nonce,
            "gas": gas_limit,
            "maxFeePerGas": max_fee_wei,
            "maxPriorityFeePerGas": tip_wei,
            "value": int(call["value"], 16),
            "data": call["data"],
        } | ({"to": call["to"]} if "to" in call else {})

    async def _ask_faucet(self, needed_wei: int) -> None:
        try:
            await self._rpc.request("swarm_faucet", self.address)
            balance = quantity(await self._rpc.request("eth_getBalance", self.address, "latest"))
        except RpcRefused as refused:
            balance = -1
            why = "this chain has no faucet" if refused.code == METHOD_NOT_FOUND else refused.what
        else:
            why = f"the faucet left it at {balance} wei"
        if balance < needed_wei:
            raise ChainError(
                f"The wallet {self.address} cannot pay for the transaction ({needed_wei} wei needed): {why}.",
                "Nothing was sent; everything pending is kept.",
                "Send some of the chain's gas money to the wallet.",
                reason="NoGasMoney",
            )

    async def _wait(self, fields: dict[str, Any], transaction: str, call: dict[str, Any]) -> Mined:
        """The receipt; sends again what the node forgot. Raises ``_NonceUsed`` when the nonce went to another one."""
        hashes = [transaction]
        started = last_sent = time.monotonic()
        while time.monotonic() - started < self._receipt_timeout_s:
            try:
                mined = await self._receipt(hashes)
                if mined is not None:
                    if not mined.succeeded:
                        raise await self._why_reverted(call, mined)
                    return mined
                if time.monotonic() - last_sent > RESEND_AFTER_S:
                    last_sent = time.monotonic()
                    if await self.nonce() < fields["nonce"]:
                        raise _NonceUsed  # the node lost earlier transactions of this account: ours would wait forever
                    if last_sent - started > RAISE_FEE_AFTER_S:
                        fields["maxFeePerGas"] = fields["maxFeePerGas"] * 5 // 4
                        fields["maxPriorityFeePerGas"] = fields["maxPriorityFeePerGas"] * 5 // 4
                    again = await self._broadcast(fields, hashes)
                    if again not in hashes:
                        hashes.append(again)
            except ChainUnreachable:
                pass  # the node may be restarting; the deadline above decides
            await asyncio.sleep(RECEIPT_POLL_S)
        raise ChainUnreachable(
            f"The transaction {hashes[-1]} was not mined within {self._receipt_timeout_s:g} s.",
            "It may still be; nothing is lost, and sending again does nothing twice.",
            "Check that the chain of this swarm still makes blocks.",
        )

    async def _broadcast(self, fields: dict[str, Any], earlier: list[str] | None = None) -> str:
        signed = self._account.sign_transaction(fields)
        transaction = "0x" + signed.hash.hex().removeprefix("0x")
        try:
            await self._rpc.request("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x"))
        except RpcRefused as refused:
            message = refused.what.lower()
            if any(words in message for words in _KNOWN_ALREADY):
                return transaction
            if any(words in message for words in _NONCE_TROUBLE):
                if earlier and await self._receipt(earlier) is not None:
                    return earlier[-1]
                if not earlier or "nonce" in message:
                    raise _NonceUsed from refused
                return earlier[-1]
            raise contract_error(refused) from refused
        return transaction

    async def _receipt(self, hashes: list[str]) -> Mined | None:
        for transaction in hashes:
            receipt = await self._rpc.request("eth_getTransactionReceipt", transaction)
            if receipt is not None:
                return Mined(
                    transaction,
                    quantity(field(receipt, "gasUsed")),
                    quantity(field(receipt, "blockNumber")),
                    field(receipt, "status") == "0x1",
                )
        return None

    async def _why_reverted(self, call: dict[str, Any], mined: Mined) -> ChainError:
        """Ask again, now that the state is the one that made it revert."""
        try:
            await self._rpc.request("eth_call", call, "latest")
        except RpcRefused as refused:
            return contract_error(refused)
        return ChainError(
            f"The transaction {mined.transaction} was mined, but the contract refused it.",
            "The state changed on the way; nothing else was lost than its fee.",
            "The program tries again by itself.",
            reason="Reverted",
        )


class _NonceUsed(Exception):
    """This nonce is taken, or no longer the next one."""


def contract_error(refused: RpcRefused) -> ChainError:
    """The contract's own words when the endpoint passed on revert data, else the endpoint's."""
    refusal = decode_refusal(refused.data)
    return chain_error(refusal) if refusal is not None else refused
