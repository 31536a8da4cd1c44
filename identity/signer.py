"""Why this module exists: everything that a peer says or agrees to is signed here, with one kind of signature.

Signatures are secp256k1 over 32-byte EIP-712 digests, whichever key type the identity has, so that a contract checks
them with ``ecrecover``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import coincurve

from chain.base import Contracts, Register, Rotate
from chain.keys import address_of_public_key, checksum_address, sign_digest
from chain.typed_data import record_digest, registration_digest, round_result_digest
from identity.delegation import delegate, signing_secret
from identity.fence import Fence
from identity.keyfile import IdentityKey, KeyType
from protocol.codec import content_id
from protocol.errors import IdentityError
from protocol.ids import Address, ContentId, PeerId, parse_address
from protocol.messages import WIRE_VERSION, Attestation, Delegation, Envelope, RoundResult


class Signer:
    """Signs for one identity. ``wallet``: the account that owns its registration. ``address``: the account that signs
    now: the identity's own, or one that a rotation named (``act_as``).

    ``rotated``: the keys of rotations by number, looked up again when the chain names an account that is not known here
    yet. ``fence``: rounds in which nothing may be signed (``identity.fence``).
    """

    def __init__(
        self,
        key: IdentityKey,
        wallet: Address,
        *,
        rotated: Callable[[], Mapping[int, bytes]] = dict,
        fence: Fence | None = None,
    ) -> None:
        self.peer: PeerId = key.peer
        self.wallet = checksum_address(bytes.fromhex(parse_address(wallet)[2:]))
        self.fence = fence
        self._key = key
        self._rotated = rotated
        own = signing_secret(key)
        self._own = _account_of(own)
        self._keys: dict[Address, tuple[int, bytes]] = {self._own: (0, own)}
        self.address: Address = self._own
        self._delegations: dict[tuple[Contracts, Address], Delegation] = {}
        self._look_for_keys()

    def __repr__(self) -> str:
        return f"Signer({self.peer}, {self.address})"

    @property
    def accounts(self) -> tuple[Address, ...]:
        """Every account that this peer can sign as: the identity's own, then those of rotations, in their order."""
        return tuple(sorted(self._keys, key=lambda account: self._keys[account][0]))

    @property
    def num_keys(self) -> int:
        """Accounts that this peer can sign as."""
        return len(self._keys)

    def act_as(self, address: Address) -> None:
        """Sign with this account from now on. Raises ``IdentityError`` when its key is not on this machine."""
        if address not in self._keys:
            self._look_for_keys()
        if address not in self._keys:
            raise IdentityError(
                f"The registry says that {address} signs for {self.peer}; the key of that account is not here.",
                "Other peers would refuse its records.",
                "Restore the newest backup (`swarm identity restore`), or name another account with `swarm identity "
                "rotate`.",
            )
        self.address = address

    def _look_for_keys(self) -> None:
        for number, secret in self._rotated().items():
            self._keys[_account_of(secret)] = (number, secret)

    def sign(self, digest: bytes) -> bytes:
        """65 bytes r, s, v (low s, v 27 or 28; RFC 6979, so equal digests have equal signatures) over 32 bytes."""
        return sign_digest(self._keys[self.address][1], digest)

    def seal(self, run: ContentId, kind: str, round: int, payload: bytes, domain: Contracts) -> Envelope:
        """``payload`` as this peer's record of ``kind`` in ``round`` of ``run``. Deterministic; checks no size.

        Raises ``IdentityError`` for a round that this peer, restored from a backup, may have signed elsewhere. Round 0
        is none: records that belong to no round are always signed.
        """
        if self.fence is not None and round:
            self.fence.require_open(run, round)
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
        digest = registration_digest(domain, self.peer, self._own, self.wallet, 0)
        own = self._keys[self._own][1]
        return Register(
            peer=self.peer, nonce=0, proof=sign_digest(own, digest), delegation=self._delegation(domain, self._own)
        )

    def rotation(self, domain: Contracts, secret: bytes, nonce: int) -> Rotate:
        """Another account, whose key is ``secret``, signs for this peer from now on; ``nonce`` as in the registry."""
        account = _account_of(secret)
        digest = registration_digest(domain, self.peer, account, self.wallet, nonce)
        return Rotate(self.peer, account, nonce, sign_digest(secret, digest))

    def delegation(self, domain: Contracts) -> Delegation | None:
        """What lets others link ``address`` to the peer id; ``None`` where the peer id itself contains its key."""
        return self._delegation(domain, self.address)

    def _delegation(self, domain: Contracts, account: Address) -> Delegation | None:
        number = self._keys[account][0]
        if self._key.kind is not KeyType.RSA and number == 0:
            return None
        if (domain, account) not in self._delegations:
            self._delegations[domain, account] = delegate(self._key, domain, self.wallet, number, signer=account)
        return self._delegations[domain, account]


def _account_of(secret: bytes) -> Address:
    return address_of_public_key(coincurve.PrivateKey(secret).public_key.format())
