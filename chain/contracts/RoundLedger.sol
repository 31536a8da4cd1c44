// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RoundClock} from "./RoundClock.sol";

/// @title What each round came to, signed by a majority of its members
/// @notice A result commits to the round's contributions and to the cumulative credits of everybody. It is recorded when
/// more than half of the round's members signed it, each of which recomputed it. Results form a chain: each names the
/// credits root that it was computed from. A result of a round that already ended by its deadline is still accepted, as
/// long as no later round has one.
/// @dev The contract cannot know whether the credits root adds up to `totalMicroCredits`; the majority vouches for that,
/// the emission caps bound the damage, and the pool never pays out more than the recorded total.
contract RoundLedger is EIP712 {
    /// @notice What the members of a round agree on. Amounts are millionths of a credit, totals over all rounds.
    struct RoundResult {
        uint64 round;
        bytes32 contributionsRoot;
        bytes32 dataHash;
        bytes32 previousCreditsRoot;
        bytes32 creditsRoot;
        uint256 totalMicroCredits;
    }

    /// @notice An ERC-2098 signature.
    struct Signature {
        bytes32 r;
        bytes32 vs;
    }

    /// @notice The current round and the latest result, at one block.
    struct Snapshot {
        RoundClock.ClockSnapshot clock;
        uint64 settledRound;
        bytes32 creditsRoot;
        bytes32 dataHash;
        uint256 totalMicroCredits;
    }

    bytes32 private constant ROUND_RESULT_TYPEHASH = keccak256(
        "RoundResult(uint64 round,bytes32 contributionsRoot,bytes32 dataHash,bytes32 previousCreditsRoot,bytes32 creditsRoot,uint256 totalMicroCredits)"
    );

    /// @notice Where signing accounts are looked up.
    PeerRegistry public immutable REGISTRY;
    /// @notice Where members are looked up, and which ends a round whose result is recorded.
    RoundClock public immutable CLOCK;
    /// @notice The most micro-credits that one result may add.
    uint256 public immutable ROUND_EMISSION_MICRO;
    /// @notice The most micro-credits there can ever be.
    uint256 public immutable TOTAL_EMISSION_MICRO;

    uint64 private _settledRound;
    uint192 private _totalMicroCredits;
    bytes32 private _creditsRoot;
    bytes32 private _dataHash;
    mapping(uint64 round => bytes32 structHash) private _resultHashes;

    /// @notice A round's result is recorded.
    event RoundSettled(
        uint64 indexed round,
        bytes32 contributionsRoot,
        bytes32 dataHash,
        bytes32 previousCreditsRoot,
        bytes32 creditsRoot,
        uint256 totalMicroCredits,
        address poster,
        bytes32[] attesters
    );

    /// @notice This round, or a later one, already has a result.
    error RoundAlreadySettled(uint64 settledRound);
    /// @notice This round is not open yet.
    error RoundNotOpened(uint64 current);
    /// @notice The result was computed from other credits than the recorded ones.
    error PreviousRootStale(bytes32 recorded, bytes32 given);
    /// @notice The total is lower than the recorded one.
    error TotalDecreased(uint256 recorded, uint256 given);
    /// @notice The result would create more credits than a round, or the whole run, may.
    error EmissionExceeded(uint256 allowedTotal, uint256 given);
    /// @notice Signatures must be ordered by the signing account, each account once.
    error SignaturesUnordered(address signer);
    /// @notice A signature is not by a member of the round, or is over something else.
    error NotAMember(address signer, uint64 round);
    /// @notice Fewer members signed than a majority.
    error MajorityMissing(uint256 needed, uint256 given);
    /// @notice A deployment parameter is zero or does not fit.
    error EmissionOutOfRange();

    constructor(PeerRegistry registry, RoundClock clock, uint256 roundEmissionMicro, uint256 totalEmissionMicro)
        EIP712("RL Swarm", "1")
    {
        if (roundEmissionMicro == 0 || totalEmissionMicro == 0 || totalEmissionMicro > type(uint128).max) {
            revert EmissionOutOfRange();
        }
        REGISTRY = registry;
        CLOCK = clock;
        ROUND_EMISSION_MICRO = roundEmissionMicro;
        TOTAL_EMISSION_MICRO = totalEmissionMicro;
    }

    /// @notice Record `result`, signed by a majority of its round's members. Anybody may send it.
    /// @param signatures Over `resultDigest(result)`, in ascending order of the signing accounts.
    function settle(RoundResult calldata result, Signature[] calldata signatures) external {
        _requireNext(result);
        bytes32 structHash = _structHash(result);
        bytes32[] memory attesters = _attesters(_hashTypedDataV4(structHash), result.round, signatures);
        uint256 needed = CLOCK.numMembers(result.round) / 2 + 1;
        if (attesters.length < needed) revert MajorityMissing(needed, attesters.length);

        _settledRound = result.round;
        _totalMicroCredits = uint192(result.totalMicroCredits);
        _creditsRoot = result.creditsRoot;
        _dataHash = result.dataHash;
        _resultHashes[result.round] = structHash;
        emit RoundSettled(
            result.round,
            result.contributionsRoot,
            result.dataHash,
            result.previousCreditsRoot,
            result.creditsRoot,
            result.totalMicroCredits,
            msg.sender,
            attesters
        );
        CLOCK.recordResult(result.round, attesters);
    }

    /// @notice What a member signs to attest `result`.
    function resultDigest(RoundResult calldata result) external view returns (bytes32) {
        return _hashTypedDataV4(_structHash(result));
    }

    /// @notice EIP-712 struct hash of the round's recorded result, zero when it has none. Whoever knows the result can
    /// prove every field of it against this.
    function resultHash(uint64 ofRound) external view returns (bytes32) {
        return _resultHashes[ofRound];
    }

    /// @notice The latest credits root.
    function creditsRoot() external view returns (bytes32) {
        return _creditsRoot;
    }

    /// @notice All micro-credits that were ever credited, according to the latest result.
    function totalMicroCredits() external view returns (uint256) {
        return _totalMicroCredits;
    }

    /// @notice The current round and the latest result, at one block.
    function snapshot() external view returns (Snapshot memory) {
        return Snapshot(CLOCK.clock(), _settledRound, _creditsRoot, _dataHash, _totalMicroCredits);
    }

    function _requireNext(RoundResult calldata result) private view {
        if (result.round <= _settledRound) revert RoundAlreadySettled(_settledRound);
        uint64 current = CLOCK.round();
        if (result.round > current) revert RoundNotOpened(current);
        if (result.previousCreditsRoot != _creditsRoot) {
            revert PreviousRootStale(_creditsRoot, result.previousCreditsRoot);
        }
        uint256 total = _totalMicroCredits;
        if (result.totalMicroCredits < total) revert TotalDecreased(total, result.totalMicroCredits);
        uint256 allowed = total + ROUND_EMISSION_MICRO;
        if (allowed > TOTAL_EMISSION_MICRO) allowed = TOTAL_EMISSION_MICRO;
        if (result.totalMicroCredits > allowed) revert EmissionExceeded(allowed, result.totalMicroCredits);
    }

    function _attesters(bytes32 digest, uint64 ofRound, Signature[] calldata signatures)
        private
        view
        returns (bytes32[] memory peerKeys)
    {
        peerKeys = new bytes32[](signatures.length);
        address previous;
        for (uint256 i = 0; i < signatures.length; ++i) {
            address signer = ECDSA.recover(digest, signatures[i].r, signatures[i].vs);
            if (signer <= previous) revert SignaturesUnordered(signer);
            bytes32 peerKey = REGISTRY.peerKeyOf(signer);
            if (peerKey == 0 || !CLOCK.isMember(peerKey, ofRound)) revert NotAMember(signer, ofRound);
            peerKeys[i] = peerKey;
            previous = signer;
        }
    }

    function _structHash(RoundResult calldata result) private pure returns (bytes32) {
        return keccak256(abi.encode(ROUND_RESULT_TYPEHASH, result));
    }
}
