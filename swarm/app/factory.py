"""Why this module exists: what is done once per chain or per run goes to its factory, which no run's ``Chain`` knows.

``open_site`` and ``open_foundation`` find the chain's contracts and endpoints: in the settings, in the file of ``swarm
deploy``, or in the join token of this home.
"""

from __future__ import annotations

from chain.deploy import Deployment, read_file
from identity.wallet import Wallet
from protocol.errors import ChainError, ConfigError
from protocol.ids import Address, parse_address
from swarm.app.chain_access import NOTHING_SIGNED, account_of, fees_of
from swarm.app.foundation import ChainContracts, Foundation, Site
from swarm.settings.config import Settings
from swarm.settings.home import Home


def open_site(chosen: Settings, account: Wallet | Address) -> Site:
    """The configured chain before it is set up, as ``account``. Asks nothing yet."""
    from swarm.app.factory_web3 import Web3Site

    return Web3Site(chosen.chain.rpc, chosen.chain.chain_id, account_of(account), fees_of(chosen))


async def open_foundation(chosen: Settings, account: Wallet | Address) -> Foundation:
    """The chain's factory as ``account``; an address alone can look and estimate, never sign.

    Compares chain id and contracts first. Raises ``ConfigError`` when no contracts are known or the endpoint serves
    another chain, ``ChainError`` (``ForeignContract``) when the factory is not there, ``ChainUnreachable``.
    """
    from swarm.app.factory_web3 import Web3Foundation

    contracts, endpoints = chain_contracts(chosen)
    foundation = Web3Foundation(endpoints, contracts, account_of(account), fees_of(chosen))
    try:
        found = await foundation.chain_id()
        if found != contracts.chain_id:
            raise ConfigError(
                f"The endpoint serves chain {found}; the contracts are on chain {contracts.chain_id}.",
                NOTHING_SIGNED,
                "Correct chain.rpc, or use the --config of that chain.",
            )
        if not await foundation.stands():
            raise ChainError(
                f"There is no factory of runs at {contracts.factory} on chain {found}.",
                NOTHING_SIGNED,
                "Correct chain.factory, or set the chain up with `swarm deploy`.",
                reason="ForeignContract",
            )
    except BaseException:
        await foundation.close()
        raise
    return foundation


def chain_contracts(chosen: Settings) -> tuple[ChainContracts, tuple[str, ...]]:
    """The contracts that serve every run, and where to ask. Raises ``ConfigError`` when they are not known."""
    chain = chosen.chain
    if chain.registry is not None and chain.token is not None and chain.factory is not None:
        named = (parse_address(text) for text in (chain.registry, chain.token, chain.factory))
        return ChainContracts(chain.chain_id, *named), _required(chain.rpc)
    if chain.chain_id:
        from swarm.app.deploying import deployment_file

        made = read_file(deployment_file(chosen.home, chain.chain_id), Deployment)
        if made is not None and made.transactions:
            return ChainContracts(made.chain_id, made.registry, made.token, made.factory), _required(chain.rpc)
    join_file = Home(chosen.home).join_file
    if join_file.exists():
        from swarm.settings.joining import read_join_file

        token = read_join_file(join_file)
        if chain.chain_id in (0, token.run.chain_id):
            at = token.contracts
            shared = ChainContracts(token.run.chain_id, at.registry, at.token, at.factory)
            return shared, _required(chain.rpc or token.rpc)
    where = f"chain {chain.chain_id}" if chain.chain_id else "any chain"
    raise ConfigError(
        f"The contracts of {where} are not known in {chosen.home}.",
        NOTHING_SIGNED,
        "Run `swarm deploy` first, or name chain.registry, chain.token and chain.factory in the --config file.",
    )


def _required(endpoints: tuple[str, ...]) -> tuple[str, ...]:
    if not endpoints:
        raise ConfigError("No RPC endpoint is known.", NOTHING_SIGNED, "Set chain.rpc, or give --rpc URL.")
    return endpoints
