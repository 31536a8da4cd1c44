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
/// was signed stays attributable. The nonce counts registrations of a peer id, so that later versions can add rotation
/// of the signing key without changing what is signed.
contract PeerRegistry is EIP712 {
    /// @notice A registered peer. `peerId` are the multihash bytes.
    struct PeerView {
        address owner;
        address signer;
        uint64 nonce;
        bytes peerId;
    }

    /// @dev `kind`: 2 or 3 = secp256k1, the first byte of the compressed key, `body` its x; 0x12 = RSA, `body` the hash.
    struct Peer {
        address owner;
        uint64 nonce;
        uint8 kind;
        address signer;
        bytes32 body;
    }

    uint8 private constant KIND_RSA = 0x12;

    bytes32 private constant REGISTRATION_TYPEHASH =
        keccak256("Registration(bytes peerId,address signer,address wallet,uint256 nonce)");

    mapping(bytes32 peerKey => Peer) private _peers;
    mapping(address signer => bytes32 peerKey) private _peerKeyOf;

    /// @notice A peer id is bound to a wallet and a signing account.
    event PeerRegistered(bytes32 indexed peerKey, address indexed owner, address indexed signer, bytes peerId);

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

    /// @notice The peer that `signer` signs for; zero when it signs for none.
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
        if (_peerKeyOf[signer] != 0) revert SignerTaken(signer, _peerKeyOf[signer]);

        bytes32 digest = registrationDigest(peerId, signer, msg.sender, nonce);
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecover(digest, r, vs);
        if (failure != ECDSA.RecoverError.NoError || recovered != signer) revert ProofRejected(peerKey, signer);

        _peers[peerKey] = Peer({owner: msg.sender, nonce: uint64(nonce) + 1, kind: kind, signer: signer, body: body});
        _peerKeyOf[signer] = peerKey;
        emit PeerRegistered(peerKey, msg.sender, signer, peerId);
    }

    function _peerId(uint8 kind, bytes32 body) private pure returns (bytes memory) {
        return kind == KIND_RSA
            ? abi.encodePacked(PeerProof.SHA256_PREFIX, body)
            : abi.encodePacked(PeerProof.SECP256K1_PREFIX, kind, body);
    }
}
