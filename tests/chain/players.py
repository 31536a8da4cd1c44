"""Why this module exists: the chain's tests need peers with real keys, and results that they really signed."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from functools import cache

import pytest
from coincurve import PrivateKey
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from eth_account import Account
from eth_account.signers.local import LocalAccount

from chain.base import ZERO_ROOT, Claim, Contracts, Register, Settle
from chain.credit_line import CreditLine, pack
from chain.keys import (
    address_of_public_key,
    peer_key,
    peer_of_rsa,
    peer_of_secp256k1,
    rsa_public_key,
    sign_digest,
)
from chain.typed_data import registration_digest, round_result_digest
from protocol.errors import ChainError
from protocol.ids import Address, ContentId, PeerId
from protocol.merkle import MerkleTree
from protocol.messages import Delegation, RoundResult

FIRST_EPOCH = 0


def secret(name: str) -> bytes:
    return hashlib.sha256(f"test key {name}".encode()).digest()


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """A key per name and session (RSA keys cannot be derived from a seed with this library)."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Player:
    """A peer with its keys and its wallet, all derived from its name."""

    def __init__(self, name: str, *, wallet: str = "") -> None:
        self.name = name
        self.secret = secret(name)
        public_key = PrivateKey(self.secret).public_key.format()
        self.signer: Address = address_of_public_key(public_key)
        self.peer: PeerId = peer_of_secp256k1(public_key)
        self.account: LocalAccount = Account.from_key(secret(f"wallet of {wallet or name}"))
        self.wallet = Address(self.account.address)

    def registration(self, contracts: Contracts, *, nonce: int = 0, wallet: Address | None = None) -> Register:
        digest = registration_digest(contracts, self.peer, self.signer, wallet or self.wallet, nonce)
        return Register(self.peer, nonce, sign_digest(self.secret, digest))

    def attest(self, contracts: Contracts, result: RoundResult) -> bytes:
        return sign_digest(self.secret, round_result_digest(contracts, result))


class RsaPlayer(Player):
    """A peer whose identity is an RSA key that delegates to the signing key."""

    def __init__(self, name: str, *, wallet: str = "") -> None:
        super().__init__(name, wallet=wallet)
        self.identity = rsa_key(name)
        self.public_key = rsa_public_key(self.identity.public_key().public_numbers().n.to_bytes(256, "big"))
        self.peer = peer_of_rsa(self.public_key)

    def registration(
        self,
        contracts: Contracts,
        *,
        nonce: int = 0,
        wallet: Address | None = None,
        identity: rsa.RSAPrivateKey | None = None,
    ) -> Register:
        owner = wallet or self.wallet
        digest = registration_digest(contracts, self.peer, self.signer, owner, nonce)
        signature = (identity or self.identity).sign(digest, padding.PKCS1v15(), hashes.SHA256())
        delegation = Delegation(self.public_key, self.signer, signature, owner, nonce)
        return Register(self.peer, nonce, sign_digest(self.secret, digest), delegation)


def content(name: str) -> ContentId:
    return ContentId(hashlib.sha256(name.encode()).hexdigest())


def result(
    round: int, credits_root: ContentId, total_micro: int, *, previous: ContentId = ZERO_ROOT, mark: str = ""
) -> RoundResult:
    return RoundResult(
        round=round,
        contributions_root=content(f"contributions {round} {mark}"),
        data_hash=content(f"table {round} {mark}"),
        previous_credits_root=previous,
        credits_root=credits_root,
        total_micro_credits=total_micro,
    )


def signatures(contracts: Contracts, outcome: RoundResult, *signers: Player) -> tuple[bytes, ...]:
    """In the order that the contract wants."""
    ordered = sorted(signers, key=lambda player: int(player.signer, 16))
    return tuple(player.attest(contracts, outcome) for player in ordered)


def settle(contracts: Contracts, outcome: RoundResult, *signers: Player, poster: Player | None = None) -> Settle:
    """Posted by the first signer unless said otherwise."""
    return Settle(outcome, signatures(contracts, outcome, *signers), (poster or signers[0]).peer)


def line(micro: int, **history: int) -> int:
    return pack(CreditLine(micro=micro, **history))


def credit_tree(credits: dict[Player, int]) -> MerkleTree:
    """Of players whose lines say nothing but their pay."""
    return MerkleTree((peer_key(player.peer), line(micro)) for player, micro in credits.items())


def claim(tree: MerkleTree, player: Player, micro: int, *, epoch: int = FIRST_EPOCH) -> Claim:
    return Claim(player.peer, line(micro), epoch, tree.proof(peer_key(player.peer), line(micro)))


async def refused(awaitable: Awaitable[object]) -> str:
    """The contract's reason for refusing what was sent."""
    with pytest.raises(ChainError) as caught:
        await awaitable
    assert caught.value.what
    return caught.value.reason
