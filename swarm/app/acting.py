"""Why this module exists: every order goes the same way: look, price, show, and only then unlock, sign and send.

An ``Actor`` is a peer of this home while a command acts for it. It looks at the chain with its wallet's address alone;
its key is used by the first order that is really sent, and a person is not asked for a password before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from chain.base import Chain, Claim, Cost, Intent, Receipt, Stake, Unstake
from identity.keyfile import load_key, open_key
from identity.names import nickname
from identity.signer import Signer
from identity.signing_keys import load_signing_keys
from identity.wallet import Wallet
from protocol.errors import ChainError, ConfigError
from protocol.run import JoinToken
from swarm.app import chain_access, unlocking
from swarm.app.amounts import fee_text, tokens_text, wei_text
from swarm.app.errands import open_errands
from swarm.settings.config import Settings
from swarm.settings.home import Home, PeerHome

WRITTEN_DOWN = (Stake, Unstake, Claim)
"""Orders that move tokens: they are seen through, and no order of a killed command is given a second time."""

SHORT_OF_TOKENS = frozenset({"ERC20InsufficientBalance", "ERC20InsufficientAllowance"})


class Step(msgspec.Struct, frozen=True):
    """One transaction that was priced, and sent unless it was a dry run. ``transaction`` is empty when none was needed
    or none was sent; ``gas`` and ``fee_wei`` are the estimate, ``gas_used`` what it took."""

    what: str
    intent: str
    gas: int
    fee_wei: int
    transaction: str = ""
    gas_used: int = 0
    block: int = 0


class Terminal:
    """Where a command tells people what it does: stderr, or stdout for the answer where no JSON is wanted there."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def note(self, text: str) -> None:
        """Something on the way."""
        print(text, file=sys.stderr, flush=True)

    def answer(self, text: str) -> None:
        """What the command was asked for."""
        print(text, file=sys.stderr if self._as_json else sys.stdout, flush=True)


class Actor:
    """``chain`` looks only; ``acting`` signs. ``dry_run``: prices are the answer, and nothing is unlocked."""

    def __init__(
        self,
        chosen: Settings,
        token: JoinToken,
        home: PeerHome,
        signer: Signer,
        chain: Chain,
        terminal: Terminal,
        *,
        password: str | None,
        dry_run: bool,
        wallet: Wallet | None = None,
    ) -> None:
        self.chosen, self.token, self.home, self.signer, self.chain = chosen, token, home, signer, chain
        self.terminal, self.dry_run = terminal, dry_run
        self.steps: list[Step] = []
        self._password = password
        self._wallet = wallet
        self._acting: Chain | None = None

    async def order(self, what: str, intent: Intent) -> Step:
        """Price ``intent``, show the price, and send it unless this is a dry run. ``what``: in words, e.g. "register".

        Raises what the chain answers; a wallet that is short of tokens is told what it holds.
        """
        try:
            cost = await self.chain.estimate(intent)
        except ChainError as error:
            raise await self._with_balance(error) from error
        show = self.terminal.answer if self.dry_run else self.terminal.note
        show(price_line(what, cost, self.signer.wallet, self.token.run.chain_id))
        step = Step(what, type(intent).__name__, cost.gas, cost.fee_wei)
        if not self.dry_run:
            receipt = await self._send(intent)
            step = msgspec.structs.replace(
                step, transaction=receipt.transaction, gas_used=receipt.gas, block=receipt.block
            )
        self.steps.append(step)
        return step

    async def finish_earlier(self) -> Intent | None:
        """See through what a command that was killed had written down, and return it; a dry run only says so."""
        with open_errands(self._folder) as errands:
            intent = errands.unfinished
            if intent is None:
                return None
            if self.dry_run:
                self.terminal.note(f"An earlier order is not finished and goes first: {words_of(intent)}.")
                return None
            self.terminal.note(f"Finishing an earlier order first: {words_of(intent)}.")
            receipt = await errands.run(await self.acting(), intent, depth=self._depth)
            self.steps.append(
                Step(words_of(intent), type(intent).__name__, 0, 0, receipt.transaction, receipt.gas, receipt.block)
            )
            return intent

    @property
    def _depth(self) -> int:
        return chain_access.depth_of(self.chosen, self.token.run.chain_id)

    async def acting(self) -> Chain:
        """The chain with the unlocked wallet."""
        if self._acting is None:
            wallet = self._wallet or unlocking.unlock(
                self.home.wallet_file, password=self._password, password_file=self.chosen.wallet.password_file
            )
            self._acting = await chain_access.open_chain(self.chosen, self.token, wallet, self.home)
        return self._acting

    def report(self, **more: Any) -> dict[str, Any]:
        """The part of ``--json`` that all orders have, and ``more``."""
        return {
            "name": self.home.name,
            "nickname": nickname(self.signer.peer),
            "peer": self.signer.peer,
            "address": self.signer.wallet,
            "chain_id": self.token.run.chain_id,
            "run_id": self.token.run.id,
            "dry_run": self.dry_run,
            "steps": [
                msgspec.to_builtins(step) | {"fee_wei": str(step.fee_wei), "fee": step.fee_wei / 10**18}
                for step in self.steps
            ],
            **more,
        }

    async def close(self) -> None:
        for chain in (self.chain, self._acting):
            if chain is not None:
                await chain.close()

    @property
    def _folder(self) -> Path:
        return self.home.run(self.token.run.id).root

    async def _send(self, intent: Intent) -> Receipt:
        acting = await self.acting()
        if not isinstance(intent, WRITTEN_DOWN):
            return await acting.send(intent)
        with open_errands(self._folder) as errands:
            return await errands.run(acting, intent, depth=self._depth)

    async def _with_balance(self, error: ChainError) -> ChainError:
        if error.reason not in SHORT_OF_TOKENS:
            return error
        balance = await self.chain.balance(self.signer.wallet)
        return ChainError(
            f"The wallet {self.signer.wallet} holds {wei_text(balance.token_wei)} tokens, which is too little.",
            "Nothing was signed or sent.",
            f"Send tokens (contract {self.token.contracts.token}) to the wallet, or order a smaller amount.",
            reason=error.reason,
        )


@asynccontextmanager
async def open_actor(
    chosen: Settings,
    token: JoinToken,
    name: str,
    terminal: Terminal,
    *,
    password: str | None,
    dry_run: bool,
    create: bool = False,
) -> AsyncIterator[Actor]:
    """Peer ``name`` of the home, looking at the run's chain. ``create``: make identity and wallet where there are none.

    The chain id is compared before a file is made or opened. Raises ``ConfigError`` when the home has no such peer,
    ``IdentityError``, and what opening the chain raises.
    """
    chain_access.require_configured_chain(chosen, token)
    home = Home(chosen.home).peer(name)
    if not home.root.exists() and (dry_run or not create):
        raise ConfigError(
            f"There is no peer {name!r} in {chosen.home}.",
            chain_access.NOTHING_SIGNED,
            "`swarm register` makes its identity and its wallet; name another one with --peer and --home.",
        )
    key = open_key(home.key_file) if create and not dry_run else load_key(home.key_file)
    if create and not dry_run and not home.wallet_file.exists():
        made = unlocking.make_wallet(home.wallet_file, password=password, password_file=chosen.wallet.password_file)
        terminal.note(f"Made a wallet, {made.address}, in {home.wallet_file}. Keep a copy of it and of its password.")
    password_file = chosen.wallet.password_file
    # A wrong password that is at hand is told at once; a person is asked only when something is to be signed.
    is_given = unlocking.is_given(home.wallet_file, password, password_file)
    wallet = (
        unlocking.unlock(home.wallet_file, password=password, password_file=password_file)
        if is_given and not dry_run
        else None
    )
    address = (
        wallet.address
        if wallet is not None
        else unlocking.known_address(home.wallet_file, password=password, password_file=password_file)
    )
    chain = await chain_access.open_chain(chosen, token, address)
    actor = Actor(
        chosen,
        token,
        home,
        Signer(key, address, rotated=lambda: load_signing_keys(home.root)),
        chain,
        terminal,
        password=password,
        dry_run=dry_run,
        wallet=wallet,
    )
    try:
        yield actor
    finally:
        await actor.close()


def price_line(what: str, cost: Cost, wallet: str, chain_id: int) -> str:
    """What a transaction will take, as it is shown before anything is signed."""
    if not cost.gas:
        return f"{what}: nothing to send, the chain is in that state already"
    fee = fee_text(cost.fee_wei)
    return f"{what}: {cost.gas:,} gas, a fee of about {fee} in the coin of chain {chain_id}, paid by {wallet}"


def words_of(intent: Intent) -> str:
    """An order in words."""
    match intent:
        case Stake(amount_micro=micro):
            return f"stake {tokens_text(micro)} tokens"
        case Unstake(amount_micro=micro):
            return f"unstake {tokens_text(micro)} tokens"
    return type(intent).__name__.lower()


def when(at: float) -> str:
    """A moment in local time, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
