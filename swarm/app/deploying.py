"""Why this module exists: a chain is set up once, however often the command is repeated or killed.

Sending is ``chain.deploy``'s, which writes down where everything will be before it sends anything. What comes before is
here: the right chain, a price, and what became of a command that was killed.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from chain.deploy import NUM_TRANSACTIONS, Deployment, created_address, read_file
from identity.wallet import Wallet
from protocol.errors import ChainError, ChainUnreachable, ConfigError, IdentityError
from protocol.ids import Address
from swarm.app import factory, unlocking
from swarm.app.acting import Terminal, price_line
from swarm.app.chain_access import NOTHING_SIGNED
from swarm.app.foundation import Site
from swarm.settings.config import Settings
from swarm.settings.home import Home

NOBODY = Address("0x" + "00" * 20)
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
    await (await open_site(chosen, NOBODY)).close()  # the right chain, before a wallet is made or opened
    file = deployment_file(chosen.home, chain_id)
    account = paying_address(chosen, wallet_file, password, dry_run=dry_run, terminal=terminal)
    site = await open_site(chosen, account)
    try:
        found = read_file(file, Deployment)
        if found is not None and await _stands(site, found, file):
            terminal.answer(f"Chain {chain_id} is set up already: {file}")
            return _report(found, file, dry_run=dry_run, sent=False)
        if found is not None and not await _can_go_on(site, found):
            found = None
        cost = await site.estimate(() if found is None else await _there(site, found))
        show = terminal.answer if dry_run else terminal.note
        show(price_line("set the chain up", cost, site.address, chain_id))
        price = {"gas": cost.gas, "fee": cost.fee_wei / 10**18, "fee_wei": str(cost.fee_wei)}
        if dry_run:
            nothing = {"chain_id": chain_id, "deployer": account, "file": str(file), "dry_run": True, "sent": False}
            return nothing | price
    finally:
        await site.close()
    wallet = unlocking.unlock(wallet_file, password=password, password_file=chosen.wallet.password_file)
    if found is None:
        file.unlink(missing_ok=True)  # a plan that nothing came of
    site = await open_site(chosen, wallet)
    try:
        done = await site.deploy(file)
    finally:
        await site.close()
    terminal.answer(f"Chain {chain_id} is set up; its contracts are in {file}. Next: `swarm run create`.")
    return _report(done, file, dry_run=False, sent=True) | price


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


def paying_address(
    chosen: Settings, wallet_file: Path, password: str | None, *, dry_run: bool, terminal: Terminal
) -> Address:
    """The account of the wallet that pays; one is made where there is none, except in a dry run."""
    password_file = chosen.wallet.password_file
    if not wallet_file.exists() and dry_run:
        raise IdentityError(
            f"There is no wallet at {wallet_file} yet.",
            NOTHING_SIGNED,
            "Put your keystore file there or name it with --wallet; without --dry-run one is made.",
        )
    if not wallet_file.exists():
        made = unlocking.make_wallet(wallet_file, password=password, password_file=password_file)
        terminal.note(
            f"Made a wallet, {made.address}, in {wallet_file}. Keep a copy of it and of its password. "
            "It needs some of the chain's coin to pay fees."
        )
    return unlocking.known_address(wallet_file, password=password, password_file=password_file)


async def _stands(site: Site, found: Deployment, file: Path) -> bool:
    """Whether everything is there. Contracts that stood and are gone must not be replaced in silence."""
    if await site.has_code(found.factory):
        return True
    if found.transactions:
        raise ChainError(
            f"The contracts that {file} names are not on the chain.",
            "Runs and stakes that stand on them would not be found; nothing was sent.",
            f"Ask another endpoint, or move {file} away to set the chain up anew.",
            reason="ForeignContract",
        )
    return False


async def _there(site: Site, found: Deployment) -> tuple[Address, ...]:
    """The first parts of a set-up that was cut off in the middle, as far as they are there."""
    there: list[Address] = []
    for number in range(NUM_TRANSACTIONS):
        part = created_address(found.deployer, found.nonce + number)
        if not await site.has_code(part):
            break
        there.append(part)
    return tuple(there)


async def _can_go_on(site: Site, found: Deployment) -> bool:
    """Whether the plan of a command that was killed can still come true: its nonces are not used for anything else.

    Waits while transactions of the account are in the node's pool: they may be the plan's own.
    """
    if found.deployer.lower() != site.address.lower():
        raise ConfigError(
            f"This set-up was begun by the wallet {found.deployer}; this one is {site.address}.",
            NOTHING_SIGNED,
            "Use that wallet to go on, or move the file chain-….json of HOME/host away to begin anew.",
        )
    for _ in range(round(PENDING_S / POLL_S)):
        mined, waiting = await site.nonces()
        if mined == waiting:
            return mined == found.nonce + len(await _there(site, found))
        await asyncio.sleep(POLL_S)
    raise ChainUnreachable(
        f"Transactions of {site.address} wait in the node's pool, and are not mined.",
        "An earlier deployment may be among them; nothing was sent again.",
        "Run the command again later.",
    )


def _report(deployed: Deployment, file: Path, *, dry_run: bool, sent: bool) -> dict[str, Any]:
    return {
        "chain_id": deployed.chain_id,
        "registry": deployed.registry,
        "token": deployed.token,
        "factory": deployed.factory,
        "deployer": deployed.deployer,
        "transactions": list(deployed.transactions),
        "gas_used": deployed.gas,
        "file": str(file),
        "dry_run": dry_run,
        "sent": sent,
    }
