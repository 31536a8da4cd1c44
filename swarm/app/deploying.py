"""Why this module exists: a chain is set up once, by one transaction, however often the command is repeated or killed.

Where the contracts will be follows from the sender and its nonce; both are written down before anything is sent, so a
command that dies in between finds out afterwards whether it got through.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from identity.wallet import Wallet
from protocol.errors import ChainError, ChainUnreachable, ConfigError
from protocol.ids import Address
from swarm.app import factory, unlocking
from swarm.app.acting import Terminal, price_line
from swarm.app.chain_access import NOTHING_SIGNED
from swarm.app.foundation import ChainContracts, Deployed, Site
from swarm.config import Settings
from swarm.home import Home, write_atomically

PENDING_S = 120.0
POLL_S = 1.0
UNKNOWN = "(unknown)"
"""Stands for the transaction of a deployment whose command was killed before it could write it down."""


async def deploy_chain(
    chosen: Settings, wallet_file: Path, password: str | None, *, dry_run: bool, as_json: bool
) -> dict[str, Any]:
    """Registry, token and factory on the configured chain: those that the file of this home names, or new ones.

    Raises ``ConfigError`` when no chain is configured, when the endpoint serves another one, or when the settings name
    contracts of somebody else; ``ChainError`` when what the file names is not on the chain.
    """
    terminal = Terminal(as_json=as_json)
    wanted = require_chain_id(chosen)
    if chosen.chain.factory is not None:
        raise ConfigError(
            "The settings name the chain's contracts, so they are deployed already.",
            NOTHING_SIGNED,
            "Remove chain.registry, chain.token and chain.factory to deploy your own.",
        )
    file = deployment_file(chosen.home, wanted)
    site = await open_site(chosen, paying_address(chosen, wallet_file, password, dry_run=dry_run, terminal=terminal))
    try:
        found = read_deployment(file)
        if found is not None and await site.stands(found.contracts):
            if not found.transaction:  # killed between sending and writing down that it was mined
                found = msgspec.structs.replace(found, transaction=UNKNOWN)
            terminal.answer(f"Chain {wanted} is set up already: {file}")
            return _report(found, file, dry_run=dry_run, sent=False)
        _require_unlost(found, file)
        if found is not None and await _still_coming(site, found):
            terminal.answer(f"An earlier deployment was sent and is mined now: {file}")
            return _report(found, file, dry_run=dry_run, sent=False)
        cost = await site.estimate()
        show = terminal.answer if dry_run else terminal.note
        show(price_line("set the chain up", cost, site.address, wanted))
        planned = await site.plan()
        if dry_run:
            return _report(planned, file, dry_run=True, sent=False) | _price(cost.gas, cost.fee_wei)
    finally:
        await site.close()
    wallet = unlocking.unlock(wallet_file, password=password, password_file=chosen.wallet.password_file)
    site = await open_site(chosen, wallet)
    try:
        planned = await site.plan()
        _write(file, planned)
        done = await site.deploy(planned)
        if not await site.stands(done.contracts):
            raise ChainError(
                "The deployment was mined, but its contracts are not where they were expected.",
                "The chain is not set up yet.",
                "Another program sent from the same wallet at the same time; run the command again.",
            )
        _write(file, done)
    finally:
        await site.close()
    terminal.answer(f"Chain {wanted} is set up; its contracts are in {file}. Next: `swarm run create`.")
    return _report(done, file, dry_run=False, sent=True) | _price(cost.gas, cost.fee_wei)


def require_chain_id(chosen: Settings) -> int:
    """The configured chain's id. Raises ``ConfigError`` when there is none, or no endpoint for it."""
    if not chosen.chain.chain_id:
        raise ConfigError(
            "No chain is configured.",
            NOTHING_SIGNED,
            "Give a --config with chain.chain_id and chain.rpc, e.g. a copy of configs/testnet.yaml.",
        )
    if not chosen.chain.rpc:
        raise ConfigError(
            f"No endpoint of chain {chosen.chain.chain_id} is configured.", NOTHING_SIGNED, "Set chain.rpc, or give --rpc."
        )
    return chosen.chain.chain_id


async def open_site(chosen: Settings, account: Wallet | Address) -> Site:
    """The chain before there are contracts, as ``account``. Raises ``ConfigError`` when the endpoint serves another."""
    site = factory.open_site(chosen, account)
    try:
        found = await site.chain_id()
        if found != chosen.chain.chain_id:
            raise ConfigError(
                f"The endpoint serves chain {found}; the settings are for chain {chosen.chain.chain_id}.",
                NOTHING_SIGNED,
                "Correct chain.chain_id or chain.rpc: what is signed for one chain must not work on another.",
            )
    except BaseException:
        await site.close()
        raise
    return site


def deployment_file(home: Path, chain_id: int) -> Path:
    """Where this home keeps what set a chain up."""
    return Home(home).host / f"chain-{chain_id}.json"


def read_deployment(file: Path) -> Deployed | None:
    """What ``file`` says, ``None`` when it does not exist. Raises ``ConfigError`` when it cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Deployed)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error}.",
            "The chain's contracts are not known; nothing was sent.",
            "Restore the file from a backup, or move it away to set the chain up anew.",
        ) from error


def _require_unlost(found: Deployed | None, file: Path) -> None:
    """Contracts that stood and are gone must not be replaced in silence; a plan that was never mined may be."""
    if found is not None and found.transaction:
        raise ChainError(
            f"The contracts that {file} names are not on the chain.",
            "Runs and stakes that stand on them would not be found; nothing was sent.",
            f"Ask another endpoint, or move {file} away to set the chain up anew.",
            reason="ForeignContract",
        )


async def _still_coming(site: Site, planned: Deployed) -> bool:
    """Whether a plan that a killed command had sent comes true; waits while its transaction is in the pool."""
    for _ in range(round(PENDING_S / POLL_S)):
        mined, waiting = await site.nonces()
        if planned.deployer != site.address or waiting <= planned.nonce:
            return False  # it was never sent
        if mined > planned.nonce:
            return await site.stands(planned.contracts)
        await asyncio.sleep(POLL_S)
    raise ChainUnreachable(
        f"A deployment that was sent earlier (transaction {planned.nonce} of {site.address}) is not mined yet.",
        "It may still be; nothing was sent again.",
        "Run the command again later.",
    )


def paying_address(
    chosen: Settings, wallet_file: Path, password: str | None, *, dry_run: bool, terminal: Terminal
) -> Address:
    """The account of the wallet that pays; one is made where there is none, except in a dry run."""
    password_file = chosen.wallet.password_file
    if not wallet_file.exists() and not dry_run:
        made = unlocking.make_wallet(wallet_file, password=password, password_file=password_file)
        terminal.note(
            f"Made a wallet, {made.address}, in {wallet_file}. Keep a copy of it and of its password. "
            "It needs some of the chain's coin to pay fees."
        )
    return unlocking.known_address(wallet_file, password=password, password_file=password_file)


def _write(file: Path, deployed: Deployed) -> None:
    write_atomically(file, msgspec.json.format(msgspec.json.encode(deployed), indent=2) + b"\n")


def _report(deployed: Deployed, file: Path, *, dry_run: bool, sent: bool) -> dict[str, Any]:
    contracts: ChainContracts = deployed.contracts
    return {
        **msgspec.to_builtins(contracts),
        "deployer": deployed.deployer,
        "transaction": deployed.transaction,
        "gas_used": deployed.gas,
        "block": deployed.block,
        "file": str(file),
        "dry_run": dry_run,
        "sent": sent,
    }


def _price(gas: int, fee_wei: int) -> dict[str, Any]:
    return {"gas": gas, "fee": fee_wei / 10**18, "fee_wei": str(fee_wei)}
