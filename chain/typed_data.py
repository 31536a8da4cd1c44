"""Why this module exists: what a signature covers must be the same bytes in Python and in Solidity, in one place.

EIP-712 digests of the three things that a signing key ever signs, and of the one that a wallet's key signs beside
transactions. Domain: name ``RL Swarm``, version ``1``, the chain id, and the contract that reads the signature: the
registry for records and registrations, ``Contributions`` for results, the token for permits.
Pure functions; they sign nothing and check nothing.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from chain.base import Contracts
from protocol.ids import Address, ContentId, PeerId, peer_id_bytes
from protocol.messages import RoundResult

DOMAIN_NAME = "RL Swarm"
DOMAIN_VERSION = "1"

DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
RECORD_TYPE = "Record(bytes32 run,string kind,uint64 round,bytes32 content)"
REGISTRATION_TYPE = "Registration(bytes peerId,address signer,address wallet,uint256 nonce)"
PERMIT_TYPE = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
ROUND_RESULT_TYPE = (
    "RoundResult(uint64 round,bytes32 contributionsRoot,bytes32 dataHash,bytes32 previousCreditsRoot,"
    "bytes32 creditsRoot,uint256 totalMicroCredits)"
)


def record_digest(contracts: Contracts, run: ContentId, kind: str, round: int, content: ContentId) -> bytes:
    """32 bytes that a peer's signing key signs to publish a record; ``content`` is the SHA-256 of its payload."""
    struct = _struct_hash(RECORD_TYPE, bytes.fromhex(run), keccak(kind.encode()), _word(round), bytes.fromhex(content))
    return _digest(contracts.chain_id, contracts.registry, struct)


def registration_digest(contracts: Contracts, peer: PeerId, signer: Address, wallet: Address, nonce: int = 0) -> bytes:
    """32 bytes that bind ``peer`` and its signing account to ``wallet``.

    The signing key signs them as a digest; an RSA identity key also signs them, as a message (RSASSA-PKCS1-v1_5 with
    SHA-256). ``nonce`` counts the registrations of this peer id: 0 for the first one.
    """
    struct = _struct_hash(
        REGISTRATION_TYPE, keccak(peer_id_bytes(peer)), _account(signer), _account(wallet), _word(nonce)
    )
    return _digest(contracts.chain_id, contracts.registry, struct)


def round_result_hash(result: RoundResult) -> bytes:
    """The EIP-712 struct hash of a result: what the contract keeps of each round."""
    return _struct_hash(
        ROUND_RESULT_TYPE,
        _word(result.round),
        bytes.fromhex(result.contributions_root),
        bytes.fromhex(result.data_hash),
        bytes.fromhex(result.previous_credits_root),
        bytes.fromhex(result.credits_root),
        _word(result.total_micro_credits),
    )


def round_result_digest(contracts: Contracts, result: RoundResult) -> bytes:
    """32 bytes that a member signs to attest ``result``."""
    return _digest(contracts.chain_id, contracts.contributions, round_result_hash(result))


def permit_digest(
    contracts: Contracts, owner: Address, spender: Address, amount_wei: int, nonce: int, deadline: int
) -> bytes:
    """32 bytes that a wallet signs to let ``spender`` take ``amount_wei`` tokens until ``deadline`` (ERC-2612)."""
    struct = _struct_hash(
        PERMIT_TYPE, _account(owner), _account(spender), _word(amount_wei), _word(nonce), _word(deadline)
    )
    return _digest(contracts.chain_id, contracts.token, struct)


def _digest(chain_id: int, contract: Address, struct_hash: bytes) -> bytes:
    domain = _struct_hash(
        DOMAIN_TYPE,
        keccak(DOMAIN_NAME.encode()),
        keccak(DOMAIN_VERSION.encode()),
        _word(chain_id),
        _account(contract),
    )
    return keccak(b"\x19\x01" + domain + struct_hash)


def _struct_hash(struct_type: str, *words: bytes) -> bytes:
    return keccak(keccak(struct_type.encode()) + b"".join(words))


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _account(address: Address) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])
