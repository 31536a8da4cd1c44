// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {PeerProof} from "./PeerProof.sol";

/// @title Who is who: peer ids, the wallets that own them, the accounts that sign for them
/// @notice A wallet registers a peer id by showing signatures of the identity key and of the signing key, both over
/// (peer id, signing account, wallet, nonce), this contract and this chain. A secp256k1 identity key is its own signing
/// key. A wallet may own several peers; a peer has one owner, and a signing account serves one peer.
/// @dev Peers are named by `peerKey` = keccak256 of the multihash bytes of their id. Entries are never removed: what
/// was signed stays attributable, and a signing account that was replaced points to its peer for ever. The nonce counts
/// the registration and the rotations of a peer, so that no proof can be used twice.
/// **Known limits:** who holds the owner's wallet can rotate the signing key without the identity key. A signing account
/// is never free again, not even for the peer that replaced it.
contract PeerRegistry is EIP712 {
    /// @notice A registered peer. `peerId` are the multihash bytes.
    struct PeerView {
        address owner;
        address signer;
        uint64 nonce;
        bytes peerId;
    }

    /// @notice How long a replaced signing account still counts, so that what is under way is not lost.
    uint64 public constant GRACE_S = 1 hours;

    /// @dev `kind`: 2 or 3 = secp256k1, the first byte of the compressed key, `body` its x; 0x12 = RSA, `body` the hash.
    struct Peer {
        address owner;
        uint64 nonce;
        uint8 kind;
        address signer;
        uint64 rotatedAt;
        bytes32 body;
    }

    uint8 private constant KIND_RSA = 0x12;

    bytes32 private constant REGISTRATION_TYPEHASH =
        keccak256("Registration(bytes peerId,address signer,address wallet,uint256 nonce)");

    bytes32 private constant RECORD_TYPEHASH = keccak256("Record(bytes32 run,string kind,uint64 round,bytes32 content)");

    mapping(bytes32 peerKey => Peer) private _peers;
    mapping(bytes32 peerKey => address) private _formerSigner;
    mapping(bytes32 peerKey => address) private _offeredTo;
    mapping(address signer => bytes32 peerKey) private _peerKeyOf;

    /// @notice A peer id is bound to a wallet and a signing account.
    event PeerRegistered(bytes32 indexed peerKey, address indexed owner, address indexed signer, bytes peerId);

    /// @notice `signer` signs for the peer from now on; `former` counts for `GRACE_S` more and stays liable for ever.
    event SignerRotated(bytes32 indexed peerKey, address indexed former, address indexed signer, uint64 nonce);
    /// @notice The owner offers the peer to another wallet; the zero address takes the offer back.
    event PeerOffered(bytes32 indexed peerKey, address indexed owner, address indexed to);
    /// @notice The peer has another owner.
    event PeerTransferred(bytes32 indexed peerKey, address indexed from, address indexed to);

    /// @notice Another wallet registered this peer id.
    error PeerOwnedByAnother(bytes32 peerKey, address owner);
    /// @notice This wallet registered this peer id before; nothing to do.
    error PeerAlreadyRegistered(bytes32 peerKey);
    /// @notice The registration was signed for another nonce.
    error NonceMismatch(uint256 expected, uint256 given);
    /// @notice The signing account already serves another peer.
    error SignerTaken(address signer, bytes32 peerKey);
    /// @notice The signing account did not sign this registration.
    error ProofRejected(bytes32 peerKey, address signer);
    /// @notice The RSA identity key did not sign this registration.
    error DelegationRejected(bytes32 peerKey);
    /// @notice Only RSA keys of exactly 2048 bits can be registered.
    error ModulusUnsupported(uint256 numBytes);
    /// @notice Only the peer's owner may do this.
    error NotThePeersOwner(bytes32 peerKey, address caller);
    /// @notice The peer was not offered to this wallet.
    error PeerNotOffered(bytes32 peerKey, address caller);

    constructor() EIP712("RL Swarm", "1") {}

    /// @notice Register the secp256k1 identity with public key (x, y) for the calling wallet.
    /// @param nonce Registrations of this peer id so far: 0 for the first one.
    /// @param r First half of the identity key's signature over the registration digest.
    /// @param vs Second half with the recovery bit on top (ERC-2098).
    /// @return peerKey The peer's name in all contracts.
    function registerSecp256k1(bytes32 x, bytes32 y, uint256 nonce, bytes32 r, bytes32 vs)
        external
        returns (bytes32 peerKey)
    {
        uint8 kind = PeerProof.parityByte(y);
        return _register(kind, x, PeerProof.account(x, y), nonce, r, vs);
    }

    /// @notice Register an RSA-2048 identity for the calling wallet; `signer` signs for it from now on.
    /// @param modulus 256 bytes; the exponent is 65537.
    /// @param delegation RSASSA-PKCS1-v1_5 (SHA-256) signature of the identity key over the registration digest.
    /// @param r First half of `signer`'s signature over the same digest.
    /// @param vs Second half with the recovery bit on top (ERC-2098).
    /// @return peerKey The peer's name in all contracts.
    function registerRsa(
        bytes calldata modulus,
        address signer,
        uint256 nonce,
        bytes calldata delegation,
        bytes32 r,
        bytes32 vs
    ) external returns (bytes32 peerKey) {
        if (!PeerProof.isModulus(modulus)) revert ModulusUnsupported(modulus.length);
        bytes32 body = PeerProof.rsaKeyHash(modulus);
        peerKey = _register(KIND_RSA, body, signer, nonce, r, vs);
        bytes32 digest = registrationDigest(_peerId(KIND_RSA, body), signer, msg.sender, nonce);
        if (!PeerProof.verifyRsa(digest, modulus, delegation)) revert DelegationRejected(peerKey);
    }

    /// @notice Replace the account that signs for a peer. Only its owner may.
    /// @param nonce The peer's registration and rotations so far, as in `peer`.
    /// @param r First half of the new account's signature over `registrationDigest(peerId, signer, owner, nonce)`.
    /// @param vs Second half with the recovery bit on top (ERC-2098).
    function rotateSigner(bytes32 peerKey, address signer, uint256 nonce, bytes32 r, bytes32 vs) external {
        Peer storage entry = _peers[peerKey];
        if (entry.owner != msg.sender) revert NotThePeersOwner(peerKey, msg.sender);
        if (nonce != entry.nonce) revert NonceMismatch(entry.nonce, nonce);
        _requireFreeSigner(peerKey, _peerId(entry.kind, entry.body), signer, nonce, r, vs);
        address former = entry.signer;
        _formerSigner[peerKey] = former;
        _peerKeyOf[signer] = peerKey;
        entry.signer = signer;
        entry.rotatedAt = uint64(block.timestamp);
        entry.nonce = uint64(nonce) + 1;
        emit SignerRotated(peerKey, former, signer, uint64(nonce) + 1);
    }

    /// @notice Offer a peer, its stake and its future pay to another wallet. Only its owner may; the last offer counts.
    function offerPeer(bytes32 peerKey, address to) external {
        if (_peers[peerKey].owner != msg.sender) revert NotThePeersOwner(peerKey, msg.sender);
        _offeredTo[peerKey] = to;
        emit PeerOffered(peerKey, msg.sender, to);
    }

    /// @notice Take over a peer that was offered to the caller.
    function acceptPeer(bytes32 peerKey) external {
        if (_offeredTo[peerKey] != msg.sender) revert PeerNotOffered(peerKey, msg.sender);
        address former = _peers[peerKey].owner;
        delete _offeredTo[peerKey];
        _peers[peerKey].owner = msg.sender;
        emit PeerTransferred(peerKey, former, msg.sender);
    }

    /// @notice The registered peer behind `peerKey`; all zero when there is none.
    function peer(bytes32 peerKey) external view returns (PeerView memory) {
        Peer storage entry = _peers[peerKey];
        if (entry.owner == address(0)) return PeerView(address(0), address(0), 0, "");
        return PeerView(entry.owner, entry.signer, entry.nonce, _peerId(entry.kind, entry.body));
    }

    /// @notice The wallet that owns the peer; zero when it is not registered.
    function ownerOf(bytes32 peerKey) external view returns (address) {
        return _peers[peerKey].owner;
    }

    /// @notice The account that signs for the peer now; zero when the peer is not registered.
    function signerOf(bytes32 peerKey) external view returns (address) {
        return _peers[peerKey].signer;
    }

    /// @notice The wallet that the peer is offered to; zero when it is not offered.
    function offeredTo(bytes32 peerKey) external view returns (address) {
        return _offeredTo[peerKey];
    }

    /// @notice Whether what `account` signs now counts as the peer's: its signing account, or the one before for `GRACE_S`.
    function isSigner(bytes32 peerKey, address account) external view returns (bool) {
        Peer storage entry = _peers[peerKey];
        if (account == address(0)) return false;
        if (account == entry.signer) return true;
        return account == _formerSigner[peerKey] && block.timestamp < entry.rotatedAt + GRACE_S;
    }

    /// @notice The peer that `signer` signs or signed for; zero when it never signed for any.
    function peerKeyOf(address signer) external view returns (bytes32) {
        return _peerKeyOf[signer];
    }

    /// @notice What the identity key and the signing key sign to register `peerId` (multihash bytes) for `wallet`.
    function registrationDigest(bytes memory peerId, address signer, address wallet, uint256 nonce)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(
            keccak256(abi.encode(REGISTRATION_TYPEHASH, keccak256(peerId), signer, wallet, nonce))
        );
    }

    /// @notice What a signing key signs to publish a record of a run; `content` is the SHA-256 of its payload.
    function recordDigest(bytes32 run, string calldata kind, uint64 round, bytes32 content)
        external
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(
            keccak256(abi.encode(RECORD_TYPEHASH, run, keccak256(bytes(kind)), round, content))
        );
    }

    function _register(uint8 kind, bytes32 body, address signer, uint256 nonce, bytes32 r, bytes32 vs)
        private
        returns (bytes32 peerKey)
    {
        bytes memory peerId = _peerId(kind, body);
        peerKey = keccak256(peerId);
        Peer storage entry = _peers[peerKey];
        if (entry.owner == msg.sender) revert PeerAlreadyRegistered(peerKey);
        if (entry.owner != address(0)) revert PeerOwnedByAnother(peerKey, entry.owner);
        if (nonce != entry.nonce) revert NonceMismatch(entry.nonce, nonce);
        _requireFreeSigner(peerKey, peerId, signer, nonce, r, vs);

        _peers[peerKey] = Peer({
            owner: msg.sender, nonce: uint64(nonce) + 1, kind: kind, signer: signer, rotatedAt: 0, body: body
        });
        _peerKeyOf[signer] = peerKey;
        emit PeerRegistered(peerKey, msg.sender, signer, peerId);
    }

    /// @dev `signer` serves no peer yet and signed that it serves this one, for the caller.
    function _requireFreeSigner(
        bytes32 peerKey,
        bytes memory peerId,
        address signer,
        uint256 nonce,
        bytes32 r,
        bytes32 vs
    ) private view {
        if (_peerKeyOf[signer] != 0) revert SignerTaken(signer, _peerKeyOf[signer]);
        bytes32 digest = registrationDigest(peerId, signer, msg.sender, nonce);
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecover(digest, r, vs);
        if (failure != ECDSA.RecoverError.NoError || recovered != signer) revert ProofRejected(peerKey, signer);
    }

    function _peerId(uint8 kind, bytes32 body) private pure returns (bytes memory) {
        return kind == KIND_RSA
            ? abi.encodePacked(PeerProof.SHA256_PREFIX, body)
            : abi.encodePacked(PeerProof.SECP256K1_PREFIX, kind, body);
    }
}
