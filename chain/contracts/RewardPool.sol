// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RoundLedger} from "./RoundLedger.sol";

/// @title Credits become tokens
/// @notice Holds the whole supply and pays it out against the ledger's latest credits root. Claims are cumulative: a leaf
/// states everything that a peer ever earned, and a claim pays what was not paid yet. One credit is one token.
/// @dev Leaf: keccak256(keccak256(abi.encode(bytes32 peerKey, uint256 cumulative micro-credits))), sorted pair hashing.
contract RewardPool {
    using SafeERC20 for IERC20;

    /// @notice Token units per millionth of a credit: 1e6 micro-credits are 1e18 units.
    uint256 public constant WEI_PER_MICRO_CREDIT = 1e12;

    /// @notice Where peers and their owners are registered.
    PeerRegistry public immutable REGISTRY;
    /// @notice Where the credits root comes from.
    RoundLedger public immutable LEDGER;
    /// @notice What is paid out.
    IERC20 public immutable TOKEN;

    uint256 private _totalClaimedMicro;
    mapping(bytes32 peerKey => uint256) private _claimedMicro;

    /// @notice `amountMicro` were paid to the peer's owner; `cumulativeMicro` is everything ever paid for this peer.
    event RewardClaimed(bytes32 indexed peerKey, address indexed owner, uint256 amountMicro, uint256 cumulativeMicro);

    /// @notice Everything up to this amount was already paid.
    error NothingToClaim(bytes32 peerKey, uint256 claimedMicro);
    /// @notice The proof does not lead from this amount to the latest credits root.
    error ClaimProofRejected(bytes32 peerKey, bytes32 creditsRoot);
    /// @notice The peer is not registered, so it has no owner to pay.
    error PeerUnknown(bytes32 peerKey);
    /// @notice The pool would pay more than the ledger ever credited: the credits root does not add up.
    error PoolOverdrawn(uint256 creditedMicro, uint256 claimedMicro);

    constructor(PeerRegistry registry, RoundLedger ledger, IERC20 token) {
        REGISTRY = registry;
        LEDGER = ledger;
        TOKEN = token;
    }

    /// @notice Pay the peer's owner what it earned and was not paid. Anybody may call.
    /// @param cumulativeMicro Everything the peer ever earned, in millionths of a credit, as in the credits root.
    function claim(bytes32 peerKey, uint256 cumulativeMicro, bytes32[] calldata proof) external {
        uint256 claimed = _claimedMicro[peerKey];
        if (cumulativeMicro <= claimed) revert NothingToClaim(peerKey, claimed);
        bytes32 root = LEDGER.creditsRoot();
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(peerKey, cumulativeMicro))));
        if (!MerkleProof.verifyCalldata(proof, root, leaf)) revert ClaimProofRejected(peerKey, root);
        address owner = REGISTRY.ownerOf(peerKey);
        if (owner == address(0)) revert PeerUnknown(peerKey);

        uint256 amountMicro = cumulativeMicro - claimed;
        uint256 totalClaimed = _totalClaimedMicro + amountMicro;
        uint256 credited = LEDGER.totalMicroCredits();
        if (totalClaimed > credited) revert PoolOverdrawn(credited, totalClaimed);

        _claimedMicro[peerKey] = cumulativeMicro;
        _totalClaimedMicro = totalClaimed;
        emit RewardClaimed(peerKey, owner, amountMicro, cumulativeMicro);
        TOKEN.safeTransfer(owner, amountMicro * WEI_PER_MICRO_CREDIT);
    }

    /// @notice Everything ever paid for this peer, in millionths of a credit.
    function claimedMicro(bytes32 peerKey) external view returns (uint256) {
        return _claimedMicro[peerKey];
    }

    /// @notice Everything ever paid, in millionths of a credit.
    function totalClaimedMicro() external view returns (uint256) {
        return _totalClaimedMicro;
    }
}
