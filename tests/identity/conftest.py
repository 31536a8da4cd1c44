"""Fixed, published, worthless keys: an RSA file as hivemind 1.1.12 wrote it, and two secp256k1 scalars."""

from pathlib import Path

import pytest

from chain.base import Contracts
from identity.keyfile import IdentityKey, parse_key
from identity.signer import Signer
from protocol.ids import Address

WALLET = Address("0x1111111111111111111111111111111111111111")


@pytest.fixture(scope="session")
def rsa_file() -> bytes:
    return bytes.fromhex("".join(Path(__file__).with_name("rsa_identity.hex").read_text().split()))


@pytest.fixture(scope="session")
def rsa_key(rsa_file) -> IdentityKey:
    return parse_key(rsa_file)


@pytest.fixture(scope="session")
def secp_file() -> bytes:
    return b"\x08\x02\x12\x20" + b"\x01" * 32


@pytest.fixture(scope="session")
def secp_key(secp_file) -> IdentityKey:
    return parse_key(secp_file)


@pytest.fixture(scope="session")
def domain() -> Contracts:
    return Contracts(31337, *(Address("0x" + digit * 40) for digit in "345678abcde"))


@pytest.fixture(scope="session", params=["secp256k1", "rsa"])
def signer(request, secp_key, rsa_key) -> Signer:
    """A signer of each kind of identity; tests that take it run twice."""
    return Signer(secp_key if request.param == "secp256k1" else rsa_key, WALLET)


@pytest.fixture(scope="session")
def stranger() -> Signer:
    return Signer(parse_key(b"\x08\x02\x12\x20" + b"\x02" * 32), WALLET)
