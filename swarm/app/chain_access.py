"""Why this module exists: commands that ask the chain need its adapter, and none of the heavy parts of a peer."""

from __future__ import annotations

from typing import Any

from chain.base import Chain, Contracts
from chain.devchain import CHAIN_ID
from chain.ethereum import Account
from chain.fees import GWEI, FeePolicy
from chain.nonces import WalletLog
from identity.wallet import Wallet
from protocol.errors import ConfigError
from protocol.ids import Address
from protocol.run import JoinToken, RunContracts
from swarm.app.finding import require_configured_chain as require_configured_chain
from swarm.app.unlocking import Onlooker
from swarm.settings.config import Settings
from swarm.settings.home import PeerHome

NOTHING_SIGNED = "Nothing was signed or sent."


def contracts_of(token: JoinToken) -> Contracts:
    """The run's contracts, on its chain."""
    return contracts_on(token.run.chain_id, token.contracts)


def contracts_on(chain_id: int, found: RunContracts) -> Contracts:
    """A run's contracts on the chain with this id."""
    return Contracts(chain_id, *(getattr(found, name) for name in RunContracts.__struct_fields__))


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


def fees_of(chosen: Settings) -> FeePolicy:
    """The most that this configuration offers per gas."""
    return FeePolicy(int(chosen.chain.max_fee_gwei * GWEI), int(chosen.chain.max_tip_gwei * GWEI))


def depth_of(chosen: Settings, chain_id: int) -> int:
    """Blocks that must follow a transaction's before it counts as done."""
    from rewards.outbox import DEV_DEPTH, FOREIGN_DEPTH

    return chosen.chain.confirmations or (DEV_DEPTH if chain_id == CHAIN_ID else FOREIGN_DEPTH)


def log_of(home: PeerHome, wallet: Address, contracts: Contracts) -> WalletLog:
    """What the wallet signed for this chain, by whichever command or peer of the home."""
    return WalletLog(home.wallet_log(wallet, contracts.chain_id, contracts.registry))


async def open_chain(
    chosen: Settings,
    token: JoinToken,
    account: Wallet | Address,
    home: PeerHome | None = None,
    *,
    num_attempts: int = 4,
) -> Chain:
    """The run's chain as ``account`` sees it; an address alone can look and estimate, never sign.

    What a wallet signs is written down in its peer's ``home``.

    Reaches an endpoint first and compares its chain id and contracts. Raises ``ConfigError``, ``ChainUnreachable``, or
    ``ChainError`` (reason ``WrongChain`` or ``ForeignContract``).
    """
    require_configured_chain(chosen, token)
    contracts = contracts_of(token)
    log = log_of(home, account.address, contracts) if isinstance(account, Wallet) and home is not None else None
    return await _connected(chosen, endpoints_of(chosen, token), contracts, account, num_attempts, log)


async def open_run(chosen: Settings, contracts: Contracts, account: Wallet | Address) -> Chain:
    """Likewise, for a run that is known by its contracts alone."""
    return await _connected(chosen, chosen.chain.rpc, contracts, account, 1, None)


def account_of(account: Wallet | Address) -> Any:
    """What signs for ``account``; for an address alone, something that refuses to."""
    return Account.from_key(account.secret) if isinstance(account, Wallet) else Onlooker(account)


async def _connected(
    chosen: Settings,
    endpoints: tuple[str, ...],
    contracts: Contracts,
    account: Wallet | Address,
    num_attempts: int,
    log: WalletLog | None,
) -> Chain:
    from chain.web3_chain import Web3Chain
    from swarm.app.pricing import LookingChain

    chain: Web3Chain = (
        Web3Chain(endpoints, contracts, account.secret, num_attempts=num_attempts, wallet_log=log, fees=fees_of(chosen))
        if isinstance(account, Wallet)
        else LookingChain(endpoints, contracts, account, num_attempts=num_attempts, fees=fees_of(chosen))
    )
    try:
        await chain.connect()
    except BaseException:
        await chain.close()
        raise
    return chain
