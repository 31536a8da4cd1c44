"""Why this module exists: who is who on the simulated chain, with the rules of ``PeerRegistry``."""

from __future__ import annotations

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from chain.base import AcceptPeer, OfferPeer, Register, Rotate
from chain.fake.ground import Ground, recovered, refuse
from chain.keys import peer_key, peer_of_rsa, rsa_modulus, signer_of_peer
from chain.typed_data import registration_digest
from protocol.errors import BadRecord
from protocol.ids import Address, PeerId

GRACE_S = 3600
"""How long a former signing account still signs for a peer after a rotation."""


class Entry(msgspec.Struct):
    """A registered peer. ``offered_to``: the wallet that may take it over. ``former``: signing account -> until when it
    still counts (unix seconds)."""

    owner: Address
    signer: Address
    nonce: int = 1
    offered_to: Address | None = None
    former: dict[Address, int] = {}


class Registry:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.entries: dict[PeerId, Entry] = {}
        self.peer_of: dict[Address, PeerId] = {}
        """Every account that ever signed for a peer: what was signed stays attributable."""

    def owner_of(self, peer: PeerId) -> Address | None:
        entry = self.entries.get(peer)
        return entry.owner if entry is not None else None

    def require_owner(self, wallet: Address, peer: PeerId) -> Entry:
        entry = self.entries.get(peer)
        if entry is None or entry.owner != wallet:
            refuse("NotThePeersOwner", peerKey=peer_key(peer), caller=wallet)
        return entry

    def is_signer(self, peer: PeerId, account: Address) -> bool:
        """Whether ``account`` signs for ``peer`` now, or did until a moment ago."""
        entry = self.entries[peer]
        return entry.signer == account or entry.former.get(account, 0) > self._ground.now

    def register(self, wallet: Address, intent: Register) -> None:
        entry = self.entries.get(intent.peer)
        key = peer_key(intent.peer)
        if entry is not None:
            if entry.owner == wallet:
                refuse("PeerAlreadyRegistered", peerKey=key)
            refuse("PeerOwnedByAnother", peerKey=key, owner=entry.owner)
        if intent.nonce != 0:
            refuse("NonceMismatch", expected=0, given=intent.nonce)
        signer = intent.delegation.signer if intent.delegation else signer_of_peer(intent.peer)
        if signer is None or signer in self.peer_of:
            refuse("SignerTaken" if signer else "ProofRejected", peerKey=key)
        digest = registration_digest(self._ground.contracts, intent.peer, signer, wallet, intent.nonce)
        if recovered(digest, intent.proof) != signer:
            refuse("ProofRejected", peerKey=key, signer=signer)
        if intent.delegation is not None:
            public_key = intent.delegation.public_key
            try:
                modulus = rsa_modulus(public_key)
            except BadRecord:
                refuse("ModulusUnsupported")
            if peer_of_rsa(public_key) != intent.peer or not _rsa_signed(modulus, digest, intent.delegation.signature):
                refuse("DelegationRejected", peerKey=key)
        self.entries[intent.peer] = Entry(wallet, signer)
        self.peer_of[signer] = intent.peer

    def rotate(self, wallet: Address, intent: Rotate) -> None:
        entry = self.require_owner(wallet, intent.peer)
        key = peer_key(intent.peer)
        if intent.nonce != entry.nonce:
            refuse("NonceMismatch", expected=entry.nonce, given=intent.nonce)
        if intent.signer in self.peer_of:
            refuse("SignerTaken", signer=intent.signer, peerKey=peer_key(self.peer_of[intent.signer]))
        digest = registration_digest(self._ground.contracts, intent.peer, intent.signer, wallet, intent.nonce)
        if recovered(digest, intent.proof) != intent.signer:
            refuse("ProofRejected", peerKey=key, signer=intent.signer)
        entry.former[entry.signer] = self._ground.now + GRACE_S
        entry.signer, entry.nonce = intent.signer, entry.nonce + 1
        self.peer_of[intent.signer] = intent.peer

    def offer(self, wallet: Address, intent: OfferPeer) -> None:
        self.require_owner(wallet, intent.peer).offered_to = intent.to

    def accept(self, wallet: Address, intent: AcceptPeer) -> None:
        entry = self.entries.get(intent.peer)
        if entry is None or entry.offered_to != wallet:
            refuse("PeerNotOffered", peerKey=peer_key(intent.peer), caller=wallet)
        entry.owner, entry.offered_to = wallet, None


def _rsa_signed(modulus: bytes, digest: bytes, signature: bytes) -> bool:
    key = rsa.RSAPublicNumbers(65537, int.from_bytes(modulus, "big")).public_key()
    try:
        key.verify(signature, digest, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
