// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {PeerRegistry} from "./PeerRegistry.sol";

/// @title Who is a member of which round
/// @notice Enrolling and resigning take effect with the next round, so the members of a round are fixed when it opens,
/// and stay known for every past round.
/// @dev A member counts 1 today; the checkpoints hold a number so that a later version can hold a weight (stake).
/// The roster keeps everybody who ever enrolled: it is what `members` pages through.
abstract contract Membership {
    using Checkpoints for Checkpoints.Trace208;

    /// @notice A member of a round.
    struct MemberView {
        bytes peerId;
        address signer;
        address owner;
        uint64 joinedRound;
    }

    /// @notice A peer's standing: member of the next round, since when, and the last round in which it was seen.
    struct StandingView {
        bool enrolled;
        uint64 joinedRound;
        uint64 lastSeenRound;
    }

    struct Presence {
        uint64 joinedRound;
        uint64 lastSeenRound;
    }

    /// @notice Where peers and their owners are registered.
    PeerRegistry public immutable REGISTRY;
    /// @notice A member that was not seen for more than this many rounds may be pruned by anybody.
    uint64 public immutable ABSENCE_ROUNDS;

    Checkpoints.Trace208 private _numMembers;
    mapping(bytes32 peerKey => Checkpoints.Trace208) private _weights;
    mapping(bytes32 peerKey => Presence) private _presence;
    bytes32[] private _roster;

    /// @notice The peer is a member from `fromRound` on.
    event MemberEnrolled(bytes32 indexed peerKey, uint64 fromRound);
    /// @notice The peer's owner took it out; it is a member of no round from `fromRound` on.
    event MemberResigned(bytes32 indexed peerKey, uint64 fromRound);
    /// @notice The peer was absent for too long; it is a member of no round from `fromRound` on.
    event MemberPruned(bytes32 indexed peerKey, uint64 fromRound, uint64 lastSeenRound, address prunedBy);
    /// @notice The peer's owner said that it is still there.
    event PresenceRenewed(bytes32 indexed peerKey, uint64 round);

    /// @notice Only the wallet that registered the peer may do this.
    error NotThePeersOwner(bytes32 peerKey, address caller);
    /// @notice The peer is not a member of the next round.
    error NotEnrolled(bytes32 peerKey);
    /// @notice The member was seen recently; it may be pruned when it was absent for more than `ABSENCE_ROUNDS`.
    error MemberNotAbsent(bytes32 peerKey, uint64 lastSeenRound);
    /// @notice A deployment parameter is zero or does not fit.
    error ParameterOutOfRange();

    constructor(PeerRegistry registry, uint64 absenceRounds) {
        if (absenceRounds == 0) revert ParameterOutOfRange();
        REGISTRY = registry;
        ABSENCE_ROUNDS = absenceRounds;
    }

    modifier onlyOwnerOf(bytes32 peerKey) {
        if (REGISTRY.ownerOf(peerKey) != msg.sender) revert NotThePeersOwner(peerKey, msg.sender);
        _;
    }

    /// @notice Make a registered peer a member from the next round on, or renew a member's presence.
    function enrol(bytes32 peerKey) external onlyOwnerOf(peerKey) {
        uint64 current = round();
        Presence storage presence = _presence[peerKey];
        if (_isEnrolled(peerKey)) {
            if (presence.lastSeenRound < current) presence.lastSeenRound = current;
            emit PresenceRenewed(peerKey, current);
            return;
        }
        if (_weights[peerKey].length() == 0) _roster.push(peerKey);
        presence.joinedRound = current + 1;
        presence.lastSeenRound = current + 1;
        _setWeight(peerKey, current + 1, 1);
        emit MemberEnrolled(peerKey, current + 1);
        _afterEnrol();
    }

    /// @notice Take a peer out from the next round on. It stays a member of the current round.
    function resign(bytes32 peerKey) external onlyOwnerOf(peerKey) {
        if (!_isEnrolled(peerKey)) revert NotEnrolled(peerKey);
        uint64 next = round() + 1;
        _setWeight(peerKey, next, 0);
        emit MemberResigned(peerKey, next);
    }

    /// @notice Take out a member that was not seen for more than `ABSENCE_ROUNDS`. Anybody may; it can enrol again.
    /// @dev Rounds without a result count too: otherwise a majority of dead members would keep itself alive forever.
    function prune(bytes32 peerKey) external {
        if (!_isEnrolled(peerKey)) revert NotEnrolled(peerKey);
        uint64 current = round();
        uint64 lastSeenRound = _presence[peerKey].lastSeenRound;
        if (current <= lastSeenRound + ABSENCE_ROUNDS) revert MemberNotAbsent(peerKey, lastSeenRound);
        _setWeight(peerKey, current + 1, 0);
        emit MemberPruned(peerKey, current + 1, lastSeenRound, msg.sender);
    }

    /// @notice The round that is open now.
    function round() public view virtual returns (uint64);

    /// @notice Whether the peer is a member of `atRound`. Final for all rounds up to the current one.
    function isMember(bytes32 peerKey, uint64 atRound) public view returns (bool) {
        return _weights[peerKey].upperLookupRecent(uint48(atRound)) != 0;
    }

    /// @notice How many members `atRound` has. Final for all rounds up to the current one.
    function numMembers(uint64 atRound) public view returns (uint256) {
        return _numMembers.upperLookupRecent(uint48(atRound));
    }

    /// @notice The peer's standing for the next round.
    function standing(bytes32 peerKey) external view returns (StandingView memory) {
        Presence storage presence = _presence[peerKey];
        return StandingView(_isEnrolled(peerKey), presence.joinedRound, presence.lastSeenRound);
    }

    /// @notice How many peers ever enrolled.
    function rosterLength() external view returns (uint256) {
        return _roster.length;
    }

    /// @notice The members of `atRound` among the `limit` peers of the roster from `offset` on.
    /// @dev Made for eth_call: the cost grows with `limit`.
    function members(uint64 atRound, uint256 offset, uint256 limit) external view returns (MemberView[] memory page) {
        uint256 end = offset + limit < _roster.length ? offset + limit : _roster.length;
        page = new MemberView[](offset < end ? end - offset : 0);
        uint256 count;
        for (uint256 i = offset; i < end; ++i) {
            bytes32 peerKey = _roster[i];
            if (!isMember(peerKey, atRound)) continue;
            PeerRegistry.PeerView memory entry = REGISTRY.peer(peerKey);
            page[count++] = MemberView(entry.peerId, entry.signer, entry.owner, _presence[peerKey].joinedRound);
        }
        assembly ("memory-safe") {
            mstore(page, count)
        }
    }

    /// @dev Called after a peer enrolled for the next round.
    function _afterEnrol() internal virtual;

    /// @dev The peer showed in `atRound` that it is there.
    function _markSeen(bytes32 peerKey, uint64 atRound) internal {
        Presence storage presence = _presence[peerKey];
        if (presence.lastSeenRound < atRound) presence.lastSeenRound = atRound;
    }

    function _isEnrolled(bytes32 peerKey) private view returns (bool) {
        return _weights[peerKey].latest() != 0;
    }

    function _setWeight(bytes32 peerKey, uint64 fromRound, uint208 weight) private {
        uint208 count = _numMembers.latest() + weight - _weights[peerKey].latest();
        _weights[peerKey].push(uint48(fromRound), weight);
        _numMembers.push(uint48(fromRound), count);
    }
}
