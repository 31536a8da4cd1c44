"""Why this module exists: a chain is set up once, however often the command is repeated or killed.

It takes two transactions. Where each one's contracts will be follows from sender and nonce; that is written down before
anything is sent, so a command that died in between finds out afterwards whether it got through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec

from chain.base import Receipt
from chain.deploy import created_address
from identity.wallet import Wallet
from protocol.errors import ChainError, ChainUnreachable, ConfigError
from protocol.ids import Address
from swarm.app import factory, unlocking
from swarm.app.acting import Terminal, price_line
from swarm.app.chain_access import NOTHING_SIGNED
from swarm.app.foundation import Deployed, Placed, Site
from swarm.config import Settings
from swarm.home import Home, write_atomically

PENDING_S = 300.0
POLL_S = 1.0


async def deploy_chain(
    chosen: Settings, wallet_file: Path, password: str | None, *, dry_run: bool, as_json: bool
) -> dict[str, Any]:
    """Registry, token and factory on the configured chain: those that the file of this home names, or new ones.

    Raises ``ConfigError`` when no chain is configured, when the endpoint serves another one, or when the settings name
    contracts of somebody else; ``ChainError`` when what the file names is not on the chain.
    """
    terminal = Terminal(as_json=as_json)
    chain_id = require_chain_id(chosen)
    if chosen.chain.factory is not None:
        raise ConfigError(
            "The settings name the chain's contracts, so they are deployed already.",
            NOTHING_SIGNED,
            "Remove chain.registry, chain.token and chain.factory to deploy your own.",
        )
    file = deployment_file(chosen.home, chain_id)
    account = paying_address(chosen, wallet_file, password, dry_run=dry_run, terminal=terminal)
    site = await open_site(chosen, account)
    try:
        found = read_deployment(file)
        if found is not None and found.contracts is not None:
            await _require_there(site, found, file)
            terminal.answer(f"Chain {chain_id} is set up already: {file}")
            return _report(found, file, dry_run=dry_run, sent=False)
        found = _mine(found, chain_id, site.address, file)
        base = found.base.address if found.base is not None and await site.has_code(found.base.address) else None
        cost = await site.estimate(base)
        show = terminal.answer if dry_run else terminal.note
        show(price_line("set the chain up", cost, site.address, chain_id))
        price = {"gas": cost.gas, "fee": cost.fee_wei / 10**18, "fee_wei": str(cost.fee_wei)}
        if dry_run:
            return _report(found, file, dry_run=True, sent=False) | price
    finally:
        await site.close()
    wallet = unlocking.unlock(wallet_file, password=password, password_file=chosen.wallet.password_file)
    site = await open_site(chosen, wallet)
    try:
        done = await set_up(site, found, file)
    finally:
        await site.close()
    terminal.answer(f"Chain {chain_id} is set up; its contracts are in {file}. Next: `swarm run create`.")
    return _report(done, file, dry_run=False, sent=True) | price


async def set_up(site: Site, found: Deployed, file: Path) -> Deployed:
    """Go on from where ``found`` (the content of ``file``) stands, and keep ``file`` up to date."""
    base = await _place(site, found, file, "base", lambda: site.create_base())
    found = msgspec.structs.replace(found, base=base)
    rest = await _place(site, found, file, "rest", lambda: site.create_rest(base.address))
    found = msgspec.structs.replace(found, rest=rest, contracts=await site.contracts(rest.address))
    _write(file, found)
    return found


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
            f"No endpoint of chain {chosen.chain.chain_id} is configured.",
            NOTHING_SIGNED,
            "Set chain.rpc, or give --rpc.",
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


async def _place(site: Site, found: Deployed, file: Path, half: str, create: Any) -> Placed:
    """One half of the set-up: the one that is there, the one that an earlier command sent, or a new one."""
    planned: Placed | None = getattr(found, half)
    if planned is not None and await _comes_true(site, planned):
        return planned
    _, nonce = await site.nonces()
    planned = Placed(created_address(site.address, nonce), nonce)
    _write(file, msgspec.structs.replace(found, **{half: planned}))
    sending: Awaitable[Receipt] = create()
    receipt = await sending
    if not await site.has_code(planned.address):
        raise ChainError(
            "The deployment was mined, but its contracts are not where they were expected.",
            "The chain is not set up yet.",
            "Another program sent from the same wallet at the same time; run the command again.",
        )
    placed = msgspec.structs.replace(planned, transaction=receipt.transaction, gas=receipt.gas, block=receipt.block)
    _write(file, msgspec.structs.replace(found, **{half: placed}))
    return placed


async def _comes_true(site: Site, planned: Placed) -> bool:
    """Whether what a killed command planned is on the chain; waits while its transaction is in the pool."""
    for _ in range(round(PENDING_S / POLL_S)):
        if await site.has_code(planned.address):
            return True
        mined, waiting = await site.nonces()
        if waiting <= planned.nonce or mined > planned.nonce:
            return False  # never sent, or the nonce went to something else
        await asyncio.sleep(POLL_S)
    raise ChainUnreachable(
        f"A deployment that was sent earlier (transaction {planned.nonce} of {site.address}) is not mined yet.",
        "It may still be; nothing was sent again.",
        "Run the command again later.",
    )


async def _require_there(site: Site, found: Deployed, file: Path) -> None:
    """Contracts that stood and are gone must not be replaced in silence."""
    assert found.contracts is not None
    if not await site.has_code(found.contracts.factory):
        raise ChainError(
            f"The contracts that {file} names are not on the chain.",
            "Runs and stakes that stand on them would not be found; nothing was sent.",
            f"Ask another endpoint, or move {file} away to set the chain up anew.",
            reason="ForeignContract",
        )


def _mine(found: Deployed | None, chain_id: int, address: Address, file: Path) -> Deployed:
    """The half-done set-up to go on with. Raises ``ConfigError`` when it is another wallet's or another chain's."""
    if found is None:
        return Deployed(chain_id, address)
    if found.chain_id != chain_id or found.deployer.lower() != address.lower():
        raise ConfigError(
            f"{file} was begun by {found.deployer} on chain {found.chain_id}; this is {address} on chain {chain_id}.",
            NOTHING_SIGNED,
            f"Use that wallet to go on, or move {file} away to begin anew.",
        )
    return found


def _write(file: Path, deployed: Deployed) -> None:
    write_atomically(file, msgspec.json.format(msgspec.json.encode(deployed), indent=2) + b"\n")


def _report(deployed: Deployed, file: Path, *, dry_run: bool, sent: bool) -> dict[str, Any]:
    halves = [half for half in (deployed.base, deployed.rest) if half is not None]
    at = msgspec.to_builtins(deployed.contracts) if deployed.contracts is not None else {"chain_id": deployed.chain_id}
    return {
        **at,
        "deployer": deployed.deployer,
        "transactions": [half.transaction for half in halves],
        "gas_used": sum(half.gas for half in halves),
        "file": str(file),
        "dry_run": dry_run,
        "sent": sent,
    }
