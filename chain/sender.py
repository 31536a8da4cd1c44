"""Why this module exists: a transaction is only done when it is mined, and much can happen on the way there.

A transaction is signed and written to the wallet's log before it is broadcast (see ``chain.nonces``), so a repeat of
the same call is the same transaction: also after ``kill -9``, also from another process of this wallet. A payload gets
a second nonce only when its first one was used up by something else. What is not mined in time is sent again as it was,
then with a higher offer; what must be mined before it is pushed along.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec
from eth_hash.auto import keccak

from chain.answers import field, quantity
from chain.endpoints import RpcRefused
from chain.ethereum import LocalAccount
from chain.fees import METHOD_NOT_FOUND, FeePolicy, Offer, offer, raised
from chain.nonces import MAX_GAP, Entry, Version, WalletLog
from chain.reverts import contract_error, why_reverted
from chain.rpc import Rpc, gather
from protocol.errors import ChainError, ChainUnreachable
from protocol.ids import Address

__all__ = ["METHOD_NOT_FOUND", "Mined", "Sender", "contract_error"]

RECEIPT_POLL_S = 0.1
RECEIPT_TIMEOUT_S = 90.0
RESEND_AFTER_S = 4.0
RAISE_FEE_AFTER_S = 12.0
TAKEN_AFTER_S = 1.5
"""How long a nonce must be used up without a receipt of ours before another transaction is believed to have it."""

MAX_NONCES = 8
"""How often a transaction may lose its nonce to another one before this is given up."""

LOOK_EVERY_S = 0.5
LEFT_AFTER_S = 60.0
"""A transaction that nobody waited for, for so long, was left by a process that ended."""

TRANSFER_GAS = 21_000

_KNOWN_ALREADY = ("already known", "already imported", "alreadyknown")
_ANOTHER_HAS_THE_NONCE = ("nonce", "replacement")
_OFFERS_TOO_LITTLE = ("underpriced", "base fee", "fee cap", "feecap")


class Mined(msgspec.Struct, frozen=True):
    """A transaction in a block. ``gas`` used; ``succeeded``: not reverted; ``block_hash``: which of that number."""

    transaction: str
    gas: int
    block: int
    succeeded: bool
    block_hash: str = ""


class Sender:
    """Signs and sends from ``account`` and waits for receipts. Raises ``ChainError`` and ``ChainUnreachable``.

    ``log``: the wallet's log; without one, what was signed is forgotten with this object. Signs for ``chain_id`` only,
    whatever an endpoint says.
    """

    def __init__(
        self,
        rpc: Rpc,
        account: LocalAccount,
        chain_id: int,
        *,
        receipt_timeout_s: float = RECEIPT_TIMEOUT_S,
        log: WalletLog | None = None,
        fees: FeePolicy | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._rpc = rpc
        self._account = account
        self._chain_id = chain_id
        self._receipt_timeout_s = receipt_timeout_s
        self._log = log or WalletLog(now=now)
        self._fees = fees or FeePolicy()
        self._now = now
        self._replaceable: set[str] = set()

    @property
    def address(self) -> Address:
        return Address(self._account.address)

    async def nonce(self) -> int:
        """The nonce of this account's next transaction, those waiting in the node's pool included."""
        return quantity(await self._rpc.request("eth_getTransactionCount", self.address, "pending"))

    async def send(self, to: str | None, data: str = "0x", value_wei: int = 0, *, purpose: str = "") -> Mined:
        """Send a call (or a creation, ``to`` = ``None``) and wait until it is mined.

        The same call again, while its transaction is on its way, waits for that one; only a transfer without data is
        always a new one. ``purpose``: whose intent it is, for the log. Raises ``ChainError`` with the contract's reason
        when it would revert (nothing is sent then) or did revert, ``ChainUnreachable`` when it is not mined in time: it
        may still be mined later.
        """
        call = {"from": self.address, "data": data, "value": hex(value_wei)} | ({"to": to} if to else {})
        payload = keccak(repr((to, data, value_wei, secrets.token_hex(8) if data == "0x" else "")).encode()).hex()
        for _ in range(MAX_NONCES):
            entry = await self._resumed(payload) or await self._signed(call, payload, purpose)
            mined = await self._wait(entry, call)
            if mined is None:
                continue
            if not mined.succeeded:
                raise await why_reverted(self._rpc.request, call, mined.transaction)
            return mined
        raise ChainUnreachable(
            "Another process keeps sending from the same wallet.",
            "Nothing was lost.",
            "Run one peer per wallet at a time.",
        )

    # --- before it is broadcast ------------------------------------------------------------------------------------

    async def _resumed(self, payload: str) -> Entry | None:
        """The transaction with this payload that is on its way, or was in a block that the chain lost."""
        async with self._log.locked():
            entry = self._log.latest_of(payload)
            if entry is None or entry.state == "open":
                return entry
            if entry.nonce < await self._num_mined():
                return None  # it is done; the caller wants it done once more
            self._log.reopened(entry)
            return entry

    async def _signed(self, call: dict[str, Any], payload: str, purpose: str) -> Entry:
        gas = await self._estimate(call)
        market = await offer(self._rpc.request, self._fees)
        await self._require_money(int(call["value"], 16) + gas * market.fee_wei)
        async with self._log.locked():
            entry = self._log.latest_of(payload)
            if entry is not None and entry.state == "open":
                return entry  # another task or process was quicker
            num_mined, num_known = await gather(self._num_mined(), self.nonce())
            # A pool holds a few: a larger difference is a number that somebody made up.
            nonce = self._log.free_nonce(num_mined, min(num_known, num_mined + MAX_GAP))
            return self._write(nonce, payload, purpose, call, gas, market)

    async def _estimate(self, call: dict[str, Any]) -> int:
        try:
            estimate = quantity(await self._rpc.request("eth_estimateGas", call))
        except RpcRefused as refused:
            raise contract_error(refused) from refused
        # State may move before it is mined (somebody else's call may make ours open a round): leave room, unused gas
        # costs nothing.
        return estimate * 5 // 4 + 150_000

    async def _require_money(self, needed_wei: int) -> bool:
        """Ask the faucet, where there is one, when the wallet cannot pay; whether that had to be.

        Raises ``ChainError('NoGasMoney')`` when it did not help.
        """
        balance = quantity(await self._rpc.request("eth_getBalance", self.address, "latest"))
        if balance >= needed_wei:
            return False
        try:
            await self._rpc.request("swarm_faucet", self.address)
            balance = quantity(await self._rpc.request("eth_getBalance", self.address, "latest"))
        except RpcRefused as refused:
            balance = -1
            why = "this chain has no faucet" if refused.code == METHOD_NOT_FOUND else refused.what
        else:
            why = f"the faucet left it at {balance} wei"
        if balance < needed_wei:
            raise no_gas_money(self.address, f"{needed_wei} wei are needed: {why}")
        return True

    def _write(self, nonce: int, payload: str, purpose: str, call: dict[str, Any], gas: int, price: Offer) -> Entry:
        """Sign for the run's own chain and put it on disk. Raises ``ChainError('DiskFull')``."""
        fields: dict[str, Any] = {
            "chainId": self._chain_id,
            "nonce": nonce,
            "gas": gas,
            "value": int(call["value"], 16),
            "data": call["data"],
        }
        signed = self._account.sign_transaction(fields | price.fields() | ({"to": call["to"]} if "to" in call else {}))
        version = Version(
            transaction="0x" + signed.hash.hex().removeprefix("0x"),
            raw="0x" + signed.raw_transaction.hex().removeprefix("0x"),
            fee_wei=price.fee_wei,
            tip_wei=price.tip_wei,
            gas=gas,
            at=self._now(),
        )
        return self._log.add(nonce, payload, purpose, version)

    # --- after it was written down ---------------------------------------------------------------------------------

    async def _wait(self, entry: Entry, call: dict[str, Any]) -> Mined | None:
        """Broadcast, and poll for the receipt of any version. ``None``: another transaction has the nonce."""
        started, poll_s = time.monotonic(), RECEIPT_POLL_S
        pushed_at = looked_at = -math.inf
        used_since = math.inf
        while time.monotonic() - started < self._receipt_timeout_s:
            try:
                if (mined := await self._receipt(entry)) is not None:
                    return mined
                now, problem = time.monotonic(), None
                if now - pushed_at > RESEND_AFTER_S:
                    pushed_at, problem = now, await self._push(entry, call)
                    entry = self._log.current(entry)
                if now - looked_at > LOOK_EVERY_S:
                    looked_at, used = now, await self._num_mined() > entry.nonce
                    used_since = min(used_since, now) if used else math.inf
                    if problem is not None and not used:
                        raise problem
                if entry.state == "open" and now - used_since > TAKEN_AFTER_S:
                    mined = await self._receipt(entry)
                    if mined is None:
                        async with self._log.locked():
                            self._log.taken(entry)
                    return mined
            except ChainUnreachable:
                pass  # the node may be restarting; the deadline above decides
            entry = self._log.current(entry)
            if entry.state == "taken":
                return None
            await asyncio.sleep(poll_s)
            poll_s = min(poll_s * 1.25, 10 * RECEIPT_POLL_S)
        raise ChainUnreachable(
            f"The transaction {entry.latest.transaction} was not mined within {self._receipt_timeout_s:g} s.",
            "It may still be; nothing is lost, and sending again does nothing twice.",
            "Check that the chain of this swarm still makes blocks.",
        )

    async def _receipt(self, entry: Entry) -> Mined | None:
        """The receipt of whichever version was mined; noted in the log."""
        for transaction in entry.hashes:
            receipt = await self._rpc.request("eth_getTransactionReceipt", transaction)
            if receipt is not None:
                mined = Mined(
                    transaction,
                    quantity(field(receipt, "gasUsed")),
                    quantity(field(receipt, "blockNumber")),
                    field(receipt, "status") == "0x1",
                    str(receipt.get("blockHash") or ""),
                )
                async with self._log.locked():
                    known = self._log.current(entry)
                    if (known.state, known.block_hash) != ("mined", mined.block_hash) or not mined.block_hash:
                        self._log.mined(entry, transaction, mined.block, mined.block_hash, mined.succeeded)
                return mined
        return None

    async def _push(self, entry: Entry, call: dict[str, Any]) -> ChainError | None:
        """Bring it, and whatever of ours must be mined before it, to the nodes once more; at a higher offer when it
        has waited. Returns what a node has against the transaction itself."""
        num_mined = await self._num_mined()
        await self._sweep(num_mined, but=entry)
        async with self._log.locked():
            entry = self._log.current(entry)
            if entry.state == "mined" and entry.nonce >= num_mined:
                self._log.reopened(entry)
            if entry.state != "open":
                return None
            before, missing = self._log.below(entry.nonce, num_mined)
            if len(missing) > MAX_GAP:
                self._log.taken(entry)
                return None
            waited = self._now() - entry.latest.at > RAISE_FEE_AFTER_S
            for nonce in missing if waited else ():
                before.append(await self._filler(nonce))
            for earlier in before:
                if earlier.state == "mined":
                    self._log.reopened(earlier)
        for earlier in sorted(before, key=lambda one: one.nonce):
            if await self._receipt(earlier) is None:
                await self._broadcast(earlier)
        problem = await self._broadcast(entry)
        if waited and not before and (problem is not None or entry.latest.transaction in self._replaceable):
            await self._raise(entry, call, dearer=problem is None)
            problem = await self._broadcast(self._log.current(entry))
        return problem

    async def _sweep(self, num_mined: int, *, but: Entry) -> None:
        """Close what nobody waits for, when the chain has used up its nonce."""
        for entry in self._log.open_entries():
            if entry.nonce >= num_mined or entry.nonce == but.nonce or await self._receipt(entry) is not None:
                continue
            if self._now() - entry.latest.at > LEFT_AFTER_S:
                async with self._log.locked():
                    self._log.taken(entry)

    async def _filler(self, nonce: int) -> Entry:
        """Nothing, to nobody: uses up a nonce that no transaction has and that holds the later ones up."""
        call = {"to": self.address, "data": "0x", "value": "0x0"}
        market = await offer(self._rpc.request, self._fees)
        return self._write(nonce, keccak(b"filler %d" % nonce).hex(), "Filler", call, TRANSFER_GAS, market)

    async def _raise(self, entry: Entry, call: dict[str, Any], *, dearer: bool) -> None:
        """Replace it by itself: at a higher offer, as far as the owner allows, or with new gas where that was wrong."""
        market = await offer(self._rpc.request, self._fees)
        gas = entry.latest.gas if dearer else await self._estimate(call)
        async with self._log.locked():
            entry = self._log.current(entry)
            higher = raised(Offer(entry.latest.fee_wei, entry.latest.tip_wei), market, self._fees)
            if entry.state == "open" and higher is not None:
                self._write(entry.nonce, entry.payload, entry.purpose, call, gas, higher)

    async def _broadcast(self, entry: Entry) -> ChainError | None:
        """Give the latest version to the nodes. Returns what they have against it; nonces are not counted as that:
        the next polls show who has the nonce."""
        version = entry.latest
        try:
            await self._rpc.everywhere("eth_sendRawTransaction", version.raw)
        except RpcRefused as refused:
            message = refused.what.lower()
            if any(words in message for words in _ANOTHER_HAS_THE_NONCE):
                return None
            if "insufficient funds" in message:
                asked = await self._require_money(version.gas * version.fee_wei)  # the chain may have lost a gift
                return None if asked else no_gas_money(self.address, refused.what)
            if not any(words in message for words in _KNOWN_ALREADY + _OFFERS_TOO_LITTLE):
                return contract_error(refused)
        self._replaceable.add(version.transaction)
        return None

    async def _num_mined(self) -> int:
        """The nonce after the last one that the chain has used up."""
        return quantity(await self._rpc.request("eth_getTransactionCount", self.address, "latest"))


def no_gas_money(address: Address, why: str) -> ChainError:
    """For a wallet that cannot pay: the intent is held until it can."""
    return ChainError(
        f"The wallet {address} cannot pay for the transaction ({why}).",
        "Nothing was sent; everything pending is kept.",
        "Send some of the chain's gas money to the wallet.",
        reason="NoGasMoney",
    )
