"""Why this module exists: what every run of a chain shares is set up once, however often the founder is restarted.

Three transactions, since one cannot hold the code: ``SwarmBase``, ``SwarmCourts`` and ``SwarmDeployment``, which make
the registry, the token (whose whole supply the founder gets), the judge of disputes and the factory that runs are
created with (``chain.run_deploy``). Their addresses follow from sender and nonce, so all are written down before
anything is sent: a founder that dies in between finds out afterwards how far it got.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec
from eth_hash.auto import keccak

from chain.abi import deployment_data
from chain.ethereum import LocalAccount
from chain.fees import FeePolicy
from chain.keys import checksum_address
from chain.nonces import WalletLog
from chain.rpc import Rpc, quantity
from chain.sender import Mined, Sender
from protocol.errors import ChainError, ConfigError
from protocol.ids import Address

SUPPLY_WEI = 10**9 * 10**18
"""A billion tokens, on a chain that a private swarm brings along."""

NUM_TRANSACTIONS = 3
"""That set a chain up, one after the other."""

Written = TypeVar("Written", bound=msgspec.Struct)


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """chain.json: what all runs of a chain share. ``nonce`` and ``deployer`` fix all addresses; ``transactions``: those
    that the founder saw mined (none when it died before), ``gas``: what they took together."""

    chain_id: int
    registry: Address
    token: Address
    factory: Address
    deployer: Address
    nonce: int
    supply_wei: int
    transactions: tuple[str, ...] = ()
    gas: int = 0


async def deploy(
    url: str,
    account: LocalAccount,
    file: Path,
    *,
    supply_wei: int = SUPPLY_WEI,
    wallet_log: WalletLog | None = None,
    fees: FeePolicy | None = None,
) -> Deployment:
    """The shared contracts of the chain at ``url``: those that ``file`` names, or new ones that are then written there.

    Does nothing when they are there. A chain that does not know of the deployment at all (killed in its last second,
    or its state removed) gets the same contracts at the same addresses. ``wallet_log``: where what ``account``
    signs for this chain is written down, so that it goes on from there after a crash. Raises ``ConfigError`` when the
    file cannot be read or belongs to another chain, ``ChainError`` when the deployment is refused.
    """
    rpc = Rpc([url])
    try:
        chain_id = quantity(await rpc.request("eth_chainId"))
        sender = Sender(rpc, account, chain_id, log=wallet_log, fees=fees)
        deployment = read_file(file, Deployment)
        if deployment is None:
            deployment = planned(chain_id, sender.address, await sender.nonce(), supply_wei)
        _require_same_chain(deployment, chain_id, file)
        bases = [created_address(deployment.deployer, deployment.nonce + number) for number in range(NUM_TRANSACTIONS)]
        present = [await has_code(rpc, base) for base in bases]
        if all(present):
            return deployment
        is_next = deployment.deployer == sender.address and await sender.nonce() == deployment.nonce + sum(present)
        if not is_next:
            raise _gone(file, url)
        write_file(file, deployment)
        creations = (
            deployment_data("SwarmBase", deployment.deployer, deployment.supply_wei),
            deployment_data("SwarmCourts", bases[0]),
            deployment_data("SwarmDeployment", bases[0], bases[1]),
        )
        mined: list[Mined] = []
        for data, is_there in zip(creations, present, strict=True):
            if not is_there:
                mined.append(await sender.send(None, data, purpose="Deploy"))
        if not await has_code(rpc, deployment.factory):
            raise ChainError(
                "The deployment was mined, but not where it was expected.",
                "The chain has no factory for runs yet.",
                "Another process sent from the same account at the same time; run the command again.",
            )
        deployment = msgspec.structs.replace(
            deployment,
            transactions=tuple(one.transaction for one in mined),
            gas=sum(one.gas for one in mined),
        )
        write_file(file, deployment)
        return deployment
    finally:
        await rpc.close()


def planned(chain_id: int, deployer: Address, nonce: int, supply_wei: int) -> Deployment:
    """Where everything is when ``deployer``'s transactions from ``nonce`` on create it (see SwarmBase.sol and
    SwarmDeployment.sol)."""
    base, rest = created_address(deployer, nonce), created_address(deployer, nonce + NUM_TRANSACTIONS - 1)
    registry, token, factory = created_address(base, 1), created_address(base, 2), created_address(rest, 4)
    return Deployment(chain_id, registry, token, factory, deployer, nonce, supply_wei)


def created_address(creator: Address, nonce: int) -> Address:
    """The address of a contract: last 20 bytes of the hash of RLP(creator, nonce)."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    encoded_nonce = number if len(number) == 1 and number[0] < 0x80 else bytes([0x80 + len(number)]) + number
    body = b"\x94" + bytes.fromhex(creator[2:]) + encoded_nonce
    return checksum_address(keccak(bytes([0xC0 + len(body)]) + body)[12:])


async def has_code(rpc: Rpc, contract: Address) -> bool:
    code: str = await rpc.request("eth_getCode", contract, "latest")
    return len(code) > 2


def read_file(file: Path, kind: type[Written]) -> Written | None:
    """What ``file`` says, ``None`` when it does not exist. Raises ``ConfigError`` when it cannot be read."""
    if not file.exists():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error}.",
            "The contracts are not known.",
            "Restore the file from a backup, or move it away to begin anew.",
        ) from error


def write_file(file: Path, content: msgspec.Struct) -> None:
    """Replace the file in one step, on disk when this returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".tmp")
    with scratch.open("wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(scratch, file)


def _require_same_chain(deployment: Deployment, chain_id: int, file: Path) -> None:
    if deployment.chain_id != chain_id:
        raise ConfigError(
            f"{file} belongs to chain {deployment.chain_id}, this is chain {chain_id}.",
            "Nothing was deployed.",
            "Use the chain that the file was made on, or another home folder.",
        )


def _gone(file: Path, url: str) -> ChainError:
    return ChainError(
        f"The contracts that {file} names are not on the chain at {url}.",
        "Its credits and tokens would not be found.",
        f"Put the chain's old state back, or move {file} away to begin anew.",
        reason="ForeignContract",
    )
