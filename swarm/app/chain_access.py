"""Why this module exists: commands that ask the chain need its adapter, and none of the heavy parts of a peer."""

from __future__ import annotations

from typing import Any

from chain.base import Chain, Contracts
from chain.ethereum import Account
from identity.wallet import Wallet
from protocol.errors import ConfigError
from protocol.ids import Address
from protocol.run import JoinToken, RunContracts
from swarm.app.finding import require_configured_chain as require_configured_chain
from swarm.app.unlocking import Onlooker
from swarm.config import Settings

NOTHING_SIGNED = "Nothing was signed or sent."


def contracts_of(token: JoinToken) -> Contracts:
    """The run's contracts, on its chain."""
    found = token.contracts
    return Contracts(token.run.chain_id, *(getattr(found, name) for name in RunContracts.__struct_fields__))


def endpoints_of(chosen: Settings, token: JoinToken) -> tuple[str, ...]:
    """Where to ask: the settings' endpoints, else those of the token. Raises ``ConfigError`` when there are none."""
    endpoints = chosen.chain.rpc or token.rpc
    if not endpoints:
        raise ConfigError(
            "Neither the settings nor the join token name an RPC endpoint of the chain.",
            NOTHING_SIGNED,
            "Set chain.rpc in the --config file, or give --rpc URL.",
        )
    return endpoints


async def open_chain(chosen: Settings, token: JoinToken, account: Wallet | Address, *, num_attempts: int = 4) -> Chain:
    """The run's chain as ``account`` sees it; an address alone can look and estimate, never sign.

    Reaches an endpoint first and compares its chain id and contracts. Raises ``ConfigError``, ``ChainUnreachable``, or
    ``ChainError`` (reason ``WrongChain`` or ``ForeignContract``).
    """
    require_configured_chain(chosen, token)
    return await _connected(endpoints_of(chosen, token), contracts_of(token), account, num_attempts)


async def open_run(chosen: Settings, contracts: Contracts, account: Wallet | Address) -> Chain:
    """Likewise, for a run that is known by its contracts alone."""
    return await _connected(chosen.chain.rpc, contracts, account, 1)


def account_of(account: Wallet | Address) -> Any:
    """What signs for ``account``; for an address alone, something that refuses to."""
    return Account.from_key(account.secret) if isinstance(account, Wallet) else Onlooker(account)


async def _connected(
    endpoints: tuple[str, ...], contracts: Contracts, account: Wallet | Address, num_attempts: int
) -> Chain:
    from chain.web3_chain import Web3Chain
    from swarm.app.pricing import LookingChain

    chain: Web3Chain = (
        Web3Chain(endpoints, contracts, account.secret, num_attempts=num_attempts)
        if isinstance(account, Wallet)
        else LookingChain(endpoints, contracts, account, num_attempts=num_attempts)
    )
    try:
        await chain.connect()
    except BaseException:
        await chain.close()
        raise
    return chain
