"""Why this module exists: a run's contracts are created once, by one transaction, however often the host is restarted.

The address of what a transaction creates follows from sender and nonce, so both are written down before it is sent: a
host that dies in between finds out afterwards whether it got through.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from eth_hash.auto import keccak

from chain.abi import deployment_data
from chain.base import Contracts
from chain.ethereum import LocalAccount
from chain.keys import checksum_address
from chain.rpc import Rpc, quantity
from chain.sender import Sender
from protocol.errors import ChainError, ConfigError
from protocol.ids import Address


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the contracts enforce. Seconds, counts, millionths of a credit; all at least 1.

    ``round_s``: deadline of a round. ``start_members``: enrolled members that open round 1 at once.
    ``absence_rounds``: a member not seen for more rounds than this may be pruned. ``round_emission_micro``: the most
    that one result may credit. ``total_emission_micro``: the token supply, and the most there can ever be credited.
    """

    round_s: int = 120
    start_members: int = 3
    absence_rounds: int = 10
    round_emission_micro: int = 100_000 * 10**6
    total_emission_micro: int = 1_000_000_000 * 10**6


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """deployment.json. ``nonce`` and ``deployer`` fix all addresses; ``transaction`` is empty until it is mined."""

    contracts: Contracts
    parameters: Parameters
    deployer: Address
    nonce: int
    transaction: str = ""
    block: int = 0
    gas: int = 0


async def deploy(url: str, account: LocalAccount, file: Path, parameters: Parameters | None = None) -> Deployment:
    """The run's contracts on the chain at ``url``: those that ``file`` names, or new ones that are then written there.

    Does nothing when they are there. A chain that does not know of the deployment at all (killed in its last second,
    or its state removed) gets the same contracts at the same addresses. Raises ``ConfigError`` when the file cannot be
    read or belongs to another chain or other parameters, ``ChainError`` when the deployment is refused.
    """
    rpc = Rpc([url])
    try:
        chain_id = quantity(await rpc.request("eth_chainId"))
        sender = Sender(rpc, account, chain_id)
        deployment = read_deployment(file)
        if deployment is not None:
            _require_same(deployment, chain_id, parameters, file)
            if await _has_code(rpc, deployment.contracts):
                return deployment
            if deployment.deployer != sender.address or await sender.nonce() > deployment.nonce:
                raise ChainError(
                    f"The contracts that {file} names are not on the chain at {url}.",
                    "Its credits and tokens would not be found.",
                    f"Put the chain's old state back, or move {file} away to begin a new run.",
                    reason="ForeignContract",
                )
        wanted = parameters or (deployment.parameters if deployment else Parameters())
        nonce = await sender.nonce()
        deployment = Deployment(contracts_of(chain_id, sender.address, nonce), wanted, sender.address, nonce)
        _write(file, deployment)
        mined = await sender.send(None, deployment_data("SwarmDeployment", msgspec.structs.astuple(wanted)))
        if not await _has_code(rpc, deployment.contracts):
            raise ChainError(
                "The deployment was mined, but not where it was expected.",
                "The run has no contracts yet.",
                "Another process sent from the same account at the same time; run the command again.",
            )
        deployment = msgspec.structs.replace(
            deployment, transaction=mined.transaction, block=mined.block, gas=mined.gas
        )
        _write(file, deployment)
        return deployment
    finally:
        await rpc.close()


def contracts_of(chain_id: int, deployer: Address, nonce: int) -> Contracts:
    """Where the contracts are when ``deployer``'s transaction ``nonce`` creates them (see SwarmDeployment.sol)."""
    factory = created_address(deployer, nonce)
    registry, clock, ledger, pool, token = (created_address(factory, number) for number in range(1, 6))
    return Contracts(chain_id, registry, clock, ledger, pool, token)


def created_address(creator: Address, nonce: int) -> Address:
    """The address of a contract: last 20 bytes of the hash of RLP(creator, nonce)."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    encoded_nonce = number if len(number) == 1 and number[0] < 0x80 else bytes([0x80 + len(number)]) + number
    body = b"\x94" + bytes.fromhex(creator[2:]) + encoded_nonce
    return checksum_address(keccak(bytes([0xC0 + len(body)]) + body)[12:])


def read_deployment(file: Path) -> Deployment | None:
    """What ``file`` says, ``None`` when it does not exist. Raises ``ConfigError`` when it cannot be read."""
    if not file.exists():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Deployment)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error}.",
            "The run's contracts are not known.",
            "Restore the file from a backup, or move it away to begin a new run.",
        ) from error


def _require_same(deployment: Deployment, chain_id: int, parameters: Parameters | None, file: Path) -> None:
    if deployment.contracts.chain_id != chain_id:
        raise ConfigError(
            f"{file} belongs to chain {deployment.contracts.chain_id}, this is chain {chain_id}.",
            "Nothing was deployed.",
            "Use the chain that the run began on, or another home folder.",
        )
    if parameters is not None and parameters != deployment.parameters:
        raise ConfigError(
            f"{file} was deployed with other parameters: {deployment.parameters}.",
            "The contracts keep those that they were made with.",
            "Restore the configuration, or begin a new run in another home folder.",
        )


async def _has_code(rpc: Rpc, contracts: Contracts) -> bool:
    code: str = await rpc.request("eth_getCode", contracts.token, "latest")
    return len(code) > 2


def _write(file: Path, deployment: Deployment) -> None:
    """Replace the file in one step, on disk when this returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".tmp")
    with scratch.open("wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(deployment), indent=2) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(scratch, file)
