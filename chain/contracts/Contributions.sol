// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RoundClock} from "./RoundClock.sol";
import {RunContracts, Rules, Signature} from "./RunTypes.sol";

/// @title What each round came to, signed by a drawn quorum of its members
/// @notice A result commits to the round's contributions and to the cumulative credits of everybody. It is recorded when
/// a drawn member posts it with the signatures of a quorum, each of which recomputed it. Results form a chain: each names
/// the credits root that it was computed from. A result of a round that already ended by its deadline is still accepted,
/// as long as no later round has one.
/// @dev The contract cannot know whether the credits root adds up to `totalMicroCredits`; the quorum vouches for that.
/// The emission caps bound the damage, and nothing is paid before the settlement's time to challenge is over: a
/// challenged result needs the signatures of more than half of all weight, or is rolled back.
contract Contributions is Initializable, EIP712 {
    using SafeCast for uint256;

    /// @notice What the members of a round agree on. Amounts are millionths of a credit, totals over all rounds.
    struct RoundResult {
        uint64 round;
        bytes32 contributionsRoot;
        bytes32 dataHash;
        bytes32 previousCreditsRoot;
        bytes32 creditsRoot;
        uint256 totalMicroCredits;
    }

    /// @notice The current round and the latest result, at one block.
    struct Snapshot {
        RoundClock.ClockSnapshot clock;
        uint64 settledRound;
        bytes32 creditsRoot;
        bytes32 dataHash;
        uint256 totalMicroCredits;
    }

    /// @notice A contribution that its peer itself put on record.
    struct Inclusion {
        bytes32 peerKey;
        bytes32 content;
    }

    /// @dev One slot. `recorded`: bit i is set when the round i before the settled one has a result, too; bit 0 stands for
    /// the settled one itself. `endsAt`: 0 while nobody stopped the run.
    struct Latest {
        uint40 settledRound;
        uint64 totalMicro;
        uint64 recorded;
        uint40 endsAt;
    }

    /// @notice Rounds whose results can be looked up; older ones are in the events.
    uint64 public constant RESULTS_KEPT = 64;

    bytes32 private constant ROUND_RESULT_TYPEHASH = keccak256(
        "RoundResult(uint64 round,bytes32 contributionsRoot,bytes32 dataHash,bytes32 previousCreditsRoot,bytes32 creditsRoot,uint256 totalMicroCredits)"
    );

    /// @notice Where peers and their owners are registered.
    PeerRegistry public immutable REGISTRY;
    /// @notice Where members are looked up, and which ends a round whose result is recorded.
    RoundClock public CLOCK;
    /// @notice The contract that pays, and that may roll back or end the run.
    address public SETTLEMENT;

    uint64 private _roundEmissionMicro;
    uint64 private _totalEmissionMicro;
    Latest private _latest;
    bytes32 private _creditsRoot;
    bytes32 private _dataHash;
    bytes32[RESULTS_KEPT] private _resultHashes;
    mapping(uint64 round => bytes32[]) private _included;
    mapping(uint64 round => mapping(bytes32 peerKey => bytes32 content)) private _inclusions;

    /// @notice A round's result is recorded. The signatures are in the call data.
    event RoundSettled(
        uint64 indexed round,
        bytes32 contributionsRoot,
        bytes32 dataHash,
        bytes32 previousCreditsRoot,
        bytes32 creditsRoot,
        uint256 totalMicroCredits,
        bytes32 posterKey,
        uint256 numAttesters
    );
    /// @notice Everything after `toRound` counts no more; `fromRound` was the last round with a result.
    event RolledBack(uint64 indexed toRound, uint64 fromRound, bytes32 creditsRoot, uint256 totalMicroCredits);
    /// @notice The peer put its own contribution on record: a result that leaves it out is not worth signing.
    event SelfIncluded(uint64 indexed round, bytes32 indexed peerKey, bytes32 content);
    /// @notice No result is accepted from `endsAt` on.
    event RunEnding(uint64 endsAt);

    /// @notice This round, or a later one, already has a result.
    error RoundAlreadySettled(uint64 settledRound);
    /// @notice The call was meant for another round.
    error RoundNotCurrent(uint64 current, uint64 given);
    /// @notice The result was computed from other credits than the recorded ones.
    error PreviousRootStale(bytes32 recorded, bytes32 given);
    /// @notice The total is lower than the recorded one.
    error TotalDecreased(uint256 recorded, uint256 given);
    /// @notice The result would create more credits than a round, or the whole run, may.
    error EmissionExceeded(uint256 allowedTotal, uint256 given);
    /// @notice The run is over.
    error RunEnded(uint64 endsAt);
    /// @notice Only the wallet that owns the peer may do this.
    error NotThePeersOwner(bytes32 peerKey, address caller);
    /// @notice The peer is no member of the round.
    error PeerNotAMember(bytes32 peerKey, uint64 round);
    /// @notice Zero names no contribution.
    error ContentMissing();
    /// @notice The peer put a contribution of this round on record before.
    error AlreadyIncluded(bytes32 peerKey, uint64 round);
    /// @notice Only another contract of this run may call this.
    error NotOfThisRun(address caller);

    constructor(PeerRegistry registry) EIP712("RL Swarm", "1") {
        REGISTRY = registry;
        _disableInitializers();
    }

    /// @notice Begin with no credits. Once, by the factory.
    function initialize(RunContracts calldata run, Rules calldata rules, uint256 budgetMicro) external initializer {
        CLOCK = RoundClock(run.clock);
        SETTLEMENT = run.settlement;
        _roundEmissionMicro = rules.roundEmissionMicro.toUint64();
        _totalEmissionMicro = budgetMicro.toUint64();
    }

    modifier onlySettlement() {
        if (msg.sender != SETTLEMENT) revert NotOfThisRun(msg.sender);
        _;
    }

    /// @notice Record `result`, which the owner of the drawn member `posterKey` posts.
    /// @param signatures Over `resultDigest(result)`, in ascending order of the signing accounts.
    function post(RoundResult calldata result, bytes32 posterKey, Signature[] calldata signatures) external {
        Latest memory latest = _latest;
        _requireNext(latest, result);
        bytes32 structHash = _structHash(result);
        address[] memory attesters = _signers(structHash, signatures);

        uint64 distance = result.round - latest.settledRound;
        latest.recorded = (distance < RESULTS_KEPT ? latest.recorded << distance : 0) | 1;
        latest.settledRound = uint40(result.round);
        latest.totalMicro = uint64(result.totalMicroCredits);
        _latest = latest;
        _creditsRoot = result.creditsRoot;
        _dataHash = result.dataHash;
        _resultHashes[result.round % RESULTS_KEPT] = structHash;
        emit RoundSettled(
            result.round,
            result.contributionsRoot,
            result.dataHash,
            result.previousCreditsRoot,
            result.creditsRoot,
            result.totalMicroCredits,
            posterKey,
            attesters.length
        );
        CLOCK.recordResult(result.round, posterKey, msg.sender, attesters);
    }

    /// @notice Put the contribution `content` (its content id) of the current round on record, so that nobody can claim not to
    /// have heard of it. The peer's owner may, once a round.
    function include(uint64 ofRound, bytes32 peerKey, bytes32 content) external {
        if (REGISTRY.ownerOf(peerKey) != msg.sender) revert NotThePeersOwner(peerKey, msg.sender);
        uint64 current = CLOCK.round();
        if (ofRound != current) revert RoundNotCurrent(current, ofRound);
        if (!CLOCK.isMember(peerKey, ofRound)) revert PeerNotAMember(peerKey, ofRound);
        if (content == 0) revert ContentMissing();
        if (_inclusions[ofRound][peerKey] != 0) revert AlreadyIncluded(peerKey, ofRound);
        _inclusions[ofRound][peerKey] = content;
        _included[ofRound].push(peerKey);
        emit SelfIncluded(ofRound, peerKey, content);
    }

    /// @notice Forget everything after the last final epoch.
    /// @dev Called by the settlement only, with what that epoch was opened with (zeros when there is none).
    function rollback(uint64 toRound, bytes32 toCreditsRoot, bytes32 toDataHash, uint256 toTotalMicro)
        external
        onlySettlement
    {
        Latest memory latest = _latest;
        emit RolledBack(toRound, latest.settledRound, toCreditsRoot, toTotalMicro);
        uint64 distance = latest.settledRound - toRound;
        latest.recorded = distance < RESULTS_KEPT ? latest.recorded >> distance : 0;
        latest.settledRound = uint40(toRound);
        latest.totalMicro = toTotalMicro.toUint64();
        _latest = latest;
        _creditsRoot = toCreditsRoot;
        _dataHash = toDataHash;
        CLOCK.recordRollback();
    }

    /// @notice Accept no result from `endTime` on.
    /// @dev Called by the settlement only.
    function endRun(uint64 endTime) external onlySettlement {
        _latest.endsAt = uint40(endTime);
        emit RunEnding(endTime);
    }

    /// @notice What a member signs to attest `result`.
    function resultDigest(RoundResult calldata result) external view returns (bytes32) {
        return _hashTypedDataV4(_structHash(result));
    }

    /// @notice The accounts behind signatures over `result`, in the order given.
    function signersOf(RoundResult calldata result, Signature[] calldata signatures)
        external
        view
        returns (address[] memory)
    {
        return _signers(_structHash(result), signatures);
    }

    /// @notice EIP-712 struct hash of the recorded result of one of the last `RESULTS_KEPT` rounds; zero when it has none, it
    /// was rolled back, or the round is older. Whoever knows the result can prove every field of it against this.
    function resultHash(uint64 ofRound) external view returns (bytes32) {
        Latest memory latest = _latest;
        if (ofRound > latest.settledRound || latest.settledRound - ofRound >= RESULTS_KEPT) return 0;
        return latest.recorded >> (latest.settledRound - ofRound) & 1 == 1 ? _resultHashes[ofRound % RESULTS_KEPT] : bytes32(0);
    }

    /// @notice Contributions that their peers put on record in `ofRound`.
    function inclusions(uint64 ofRound) external view returns (Inclusion[] memory list) {
        bytes32[] storage peerKeys = _included[ofRound];
        list = new Inclusion[](peerKeys.length);
        for (uint256 i = 0; i < list.length; ++i) {
            list[i] = Inclusion(peerKeys[i], _inclusions[ofRound][peerKeys[i]]);
        }
    }

    /// @notice The latest credits root.
    function creditsRoot() external view returns (bytes32) {
        return _creditsRoot;
    }

    /// @notice Content id of the latest table of credits.
    function dataHash() external view returns (bytes32) {
        return _dataHash;
    }

    /// @notice All micro-credits that were ever credited, according to the latest result.
    function totalMicroCredits() external view returns (uint256) {
        return _latest.totalMicro;
    }

    /// @notice The last round with a result.
    function settledRound() external view returns (uint64) {
        return _latest.settledRound;
    }

    /// @notice From when on no result is accepted; 0 while nobody stopped the run.
    function endsAt() external view returns (uint64) {
        return _latest.endsAt;
    }

    /// @notice The most micro-credits that one result may add, and that there can ever be.
    function emissionCaps() external view returns (uint256 perRound, uint256 total) {
        return (_roundEmissionMicro, _totalEmissionMicro);
    }

    /// @notice The current round and the latest result, at one block.
    function snapshot() external view returns (Snapshot memory) {
        return Snapshot(CLOCK.clock(), _latest.settledRound, _creditsRoot, _dataHash, _latest.totalMicro);
    }

    function _requireNext(Latest memory latest, RoundResult calldata result) private view {
        if (latest.endsAt != 0 && block.timestamp >= latest.endsAt) revert RunEnded(latest.endsAt);
        if (result.round <= latest.settledRound) revert RoundAlreadySettled(latest.settledRound);
        if (result.previousCreditsRoot != _creditsRoot) {
            revert PreviousRootStale(_creditsRoot, result.previousCreditsRoot);
        }
        uint256 total = latest.totalMicro;
        if (result.totalMicroCredits < total) revert TotalDecreased(total, result.totalMicroCredits);
        uint256 allowed = total + _roundEmissionMicro;
        if (allowed > _totalEmissionMicro) allowed = _totalEmissionMicro;
        if (result.totalMicroCredits > allowed) revert EmissionExceeded(allowed, result.totalMicroCredits);
    }

    function _signers(bytes32 structHash, Signature[] calldata signatures)
        private
        view
        returns (address[] memory signers)
    {
        bytes32 digest = _hashTypedDataV4(structHash);
        signers = new address[](signatures.length);
        for (uint256 i = 0; i < signatures.length; ++i) {
            signers[i] = ECDSA.recover(digest, signatures[i].r, signatures[i].vs);
        }
    }

    function _structHash(RoundResult calldata result) private pure returns (bytes32) {
        return keccak256(abi.encode(ROUND_RESULT_TYPEHASH, result));
    }
}
