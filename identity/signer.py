"""Why this module exists: everything that a peer says or agrees to is signed here, with one kind of signature.

Signatures are secp256k1 over 32-byte EIP-712 digests, whichever key type the identity has, so that a contract checks
them with ``ecrecover``.
"""

from __future__ import annotations

import coincurve

from chain.base import Contracts, Register
from chain.keys import address_of_public_key, checksum_address, sign_digest
from chain.typed_data import record_digest, registration_digest, round_result_digest
from identity.delegation import delegate, signing_secret
from identity.keyfile import IdentityKey, KeyType
from protocol.codec import content_id
from protocol.ids import Address, ContentId, PeerId, parse_address
from protocol.messages import WIRE_VERSION, Attestation, Delegation, Envelope, RoundResult


class Signer:
    """Signs for one identity. ``address``: its signing account. ``wallet``: the account that owns its registration."""

    def __init__(self, key: IdentityKey, wallet: Address) -> None:
        self.peer: PeerId = key.peer
        self.wallet = checksum_address(bytes.fromhex(parse_address(wallet)[2:]))
        self._key = key
        self._secret = signing_secret(key)
        self.address: Address = address_of_public_key(coincurve.PrivateKey(self._secret).public_key.format())
        self._delegations: dict[Contracts, Delegation] = {}

    def __repr__(self) -> str:
        return f"Signer({self.peer}, {self.address})"

    def sign(self, digest: bytes) -> bytes:
        """65 bytes r, s, v (low s, v 27 or 28; RFC 6979, so equal digests have equal signatures) over 32 bytes."""
        return sign_digest(self._secret, digest)

    def seal(self, run: ContentId, kind: str, round: int, payload: bytes, domain: Contracts) -> Envelope:
        """``payload`` as this peer's record of ``kind`` in ``round`` of ``run``. Deterministic; checks no size."""
        digest = record_digest(domain, run, kind, round, content_id(payload))
        return Envelope(
            version=WIRE_VERSION,
            run=run,
            kind=kind,
            round=round,
            peer=self.peer,
            payload=payload,
            signature=self.sign(digest),
            delegation=self.delegation(domain),
        )

    def attest(self, result: RoundResult, domain: Contracts) -> Attestation:
        """This peer's signature under a round's result, as the ledger contract checks it."""
        return Attestation(result=result, signature=self.sign(round_result_digest(domain, result)))

    def registration(self, domain: Contracts) -> Register:
        """The first registration of this peer to its wallet, with the proof that it holds the identity key."""
        digest = registration_digest(domain, self.peer, self.address, self.wallet, 0)
        return Register(peer=self.peer, nonce=0, proof=self.sign(digest), delegation=self.delegation(domain))

    def delegation(self, domain: Contracts) -> Delegation | None:
        """What lets others link ``address`` to an RSA peer id; ``None`` for a secp256k1 identity, which needs none."""
        if self._key.kind is not KeyType.RSA:
            return None
        if domain not in self._delegations:
            self._delegations[domain] = delegate(self._key, domain, self.wallet)
        return self._delegations[domain]
