// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RunContracts, Rules} from "./RunTypes.sol";
import {StakeVault} from "./StakeVault.sol";

/// @title Who is a member of which round, and with what weight
/// @notice Whatever changes (enrolling, leaving, stake, the signing account) takes effect with the next round, so the
/// members of a round are fixed when it opens, before its seed is known, and stay known for every past round.
/// @dev A member weighs as many units as its stake in the vault has, at most `StakeVault.MAX_UNITS`. What a signature
/// weighs is looked up by the account that made it, in one storage slot: `_seats`. A peer has one signing account at a
/// time, and only that one's seat has weight, so nobody counts twice. After a rotation in the registry the former
/// account keeps the seat until `refresh`.
abstract contract Membership is Initializable {
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;

    /// @notice A member of a round. `signer` is the account whose signature counts in that round.
    struct MemberView {
        bytes peerId;
        address signer;
        address owner;
        uint64 joinedRound;
        uint64 weight;
    }

    /// @notice A peer's standing: its weight in the next round (0: no member), since when it is a member, the last round
    /// in which its owner said that it is there, until which round it may not enrol (0: never barred), and the round
    /// in which it came back after that (0: not yet).
    struct StandingView {
        bool enrolled;
        uint64 joinedRound;
        uint64 lastRenewedRound;
        uint64 weight;
        uint64 barredUntilRound;
        uint64 readmittedRound;
    }

    struct Seat {
        uint40 fromRound;
        uint16 weight;
    }

    struct Standing {
        address signer;
        uint40 joinedRound;
        uint40 lastRenewedRound;
    }

    struct Bar {
        uint64 untilRound;
        uint64 readmittedRound;
    }

    /// @notice Where peers and their owners are registered.
    PeerRegistry public immutable REGISTRY;
    /// @notice Where members' stake is.
    StakeVault public VAULT;
    /// @notice The contract that takes peers of low standing out.
    address public REPUTATION;
    /// @notice The contract that takes peers out that signed two different things.
    address public EQUIVOCATION;
    /// @notice The contract that takes peers out whose work was refuted.
    address public DISPUTES;
    /// @notice The contract that takes peers out that withheld what they had committed to.
    address public REQUESTS;

    /// @dev Per round: the sum of weights in the upper half, the number of members in the lower half.
    Checkpoints.Trace208 private _totals;
    mapping(address signer => Seat) private _seats;
    mapping(address signer => Seat[]) private _pastSeats;
    mapping(bytes32 peerKey => Standing) private _standings;
    mapping(bytes32 peerKey => address[]) private _formerSigners;
    mapping(bytes32 peerKey => Bar) private _bars;
    bytes32[] private _roster;

    /// @notice The peer is a member from `fromRound` on.
    event MemberEnrolled(bytes32 indexed peerKey, uint64 fromRound);
    /// @notice The peer's owner took it out; it is a member of no round from `fromRound` on.
    event MemberResigned(bytes32 indexed peerKey, uint64 fromRound);
    /// @notice The peer was absent in a swarm without results; it is a member of no round from `fromRound` on.
    event MemberPruned(bytes32 indexed peerKey, uint64 fromRound, uint64 lastRenewedRound, address prunedBy);
    /// @notice The peer was taken out, and may enrol again after `barredUntilRound`.
    event MemberEjected(bytes32 indexed peerKey, uint64 fromRound, uint64 barredUntilRound);
    /// @notice The peer's stake fell below one unit; it is a member of no round from `fromRound` on.
    event MemberUnstaked(bytes32 indexed peerKey, uint64 fromRound);
    /// @notice From `fromRound` on, signatures of `signer` have this weight (0: none).
    event SeatChanged(bytes32 indexed peerKey, address indexed signer, uint64 fromRound, uint64 weight);
    /// @notice The peer's owner said that it is still there.
    event PresenceRenewed(bytes32 indexed peerKey, uint64 round);

    /// @notice Only the wallet that owns the peer may do this.
    error NotThePeersOwner(bytes32 peerKey, address caller);
    /// @notice The peer is not a member of the next round.
    error NotEnrolled(bytes32 peerKey);
    /// @notice The member was there recently, or the swarm has results; it may be pruned only in a swarm that is stuck.
    error MemberNotAbsent(bytes32 peerKey, uint64 lastRenewedRound);
    /// @notice The peer has less stake than one unit of weight.
    error StakeMissing(bytes32 peerKey);
    /// @notice The peer was ejected and may enrol again after this round.
    error StillBarred(uint64 untilRound);
    /// @notice Signatures must be ordered by the signing account, each account once.
    error SignaturesUnordered(address signer);
    /// @notice A signature is not by a member of the round, or is over something else.
    error NotAMember(address signer, uint64 round);
    /// @notice Only another contract of this run may call this.
    error NotOfThisRun(address caller);

    constructor(PeerRegistry registry) {
        REGISTRY = registry;
    }

    modifier onlyOwnerOf(bytes32 peerKey) {
        if (REGISTRY.ownerOf(peerKey) != msg.sender) revert NotThePeersOwner(peerKey, msg.sender);
        _;
    }

    /// @notice Make a registered, staked peer a member from the next round on, or renew a member's presence.
    function enrol(bytes32 peerKey) external onlyOwnerOf(peerKey) {
        uint64 current = round();
        Standing storage standing_ = _standings[peerKey];
        if (_isEnrolled(standing_)) {
            if (standing_.lastRenewedRound < current) standing_.lastRenewedRound = uint40(current);
            emit PresenceRenewed(peerKey, current);
            return;
        }
        Bar storage bar = _bars[peerKey];
        uint64 barredUntil = bar.untilRound;
        if (barredUntil > current) revert StillBarred(barredUntil);
        if (barredUntil != 0 && bar.readmittedRound == 0) bar.readmittedRound = current + 1;
        uint256 units = VAULT.unitsOf(peerKey);
        if (units == 0) revert StakeMissing(peerKey);
        if (standing_.joinedRound == 0) _roster.push(peerKey);
        standing_.joinedRound = uint40(current + 1);
        standing_.lastRenewedRound = uint40(current + 1);
        _takeSeat(peerKey, standing_, units);
        emit MemberEnrolled(peerKey, current + 1);
        _afterEnrol();
    }

    /// @notice Take a peer out from the next round on. It stays a member of the current round.
    function resign(bytes32 peerKey) external onlyOwnerOf(peerKey) {
        emit MemberResigned(peerKey, _vacate(peerKey));
    }

    /// @notice Let a member weigh what its stake is worth, and sign with the account that the registry names, from the next
    /// round on. Anybody may.
    function refresh(bytes32 peerKey) external {
        Standing storage standing_ = _standings[peerKey];
        if (!_isEnrolled(standing_)) revert NotEnrolled(peerKey);
        uint256 units = VAULT.unitsOf(peerKey);
        if (units == 0) emit MemberUnstaked(peerKey, _vacate(peerKey));
        else _takeSeat(peerKey, standing_, units);
    }

    /// @notice Take out a member that was absent, when the swarm is stuck: no result and no sign of the member for more than
    /// the run's absence rounds. Anybody may; it can enrol again. Otherwise a majority of dead members would stay for ever.
    /// @dev Members that wait (for a false result to be rolled back, say) must renew their presence meanwhile.
    function prune(bytes32 peerKey) external {
        Standing storage standing_ = _standings[peerKey];
        if (!_isEnrolled(standing_)) revert NotEnrolled(peerKey);
        uint64 lastRenewed = standing_.lastRenewedRound;
        if (!_isStuckSince(lastRenewed)) revert MemberNotAbsent(peerKey, lastRenewed);
        uint64 next = _vacate(peerKey);
        emit MemberPruned(peerKey, next, lastRenewed, msg.sender);
    }

    /// @notice Take a peer out and bar it up to `untilRound`. Does not fail when it is no member.
    /// @dev Called by the run's reputation contract or its courts only.
    function eject(bytes32 peerKey, uint64 untilRound) external {
        bool isCourt = msg.sender == EQUIVOCATION || msg.sender == DISPUTES || msg.sender == REQUESTS;
        if (msg.sender != REPUTATION && !isCourt) revert NotOfThisRun(msg.sender);
        Bar storage bar = _bars[peerKey];
        if (untilRound > bar.untilRound) {
            bar.untilRound = untilRound;
            bar.readmittedRound = 0;
        }
        uint64 next = _isEnrolled(_standings[peerKey]) ? _vacate(peerKey) : round() + 1;
        emit MemberEjected(peerKey, next, untilRound);
    }

    /// @notice Take over that a peer's stake shrank. Does nothing when it grew or the peer is no member.
    /// @dev Called by the run's vault only.
    function stakeChanged(bytes32 peerKey) external {
        if (msg.sender != address(VAULT)) revert NotOfThisRun(msg.sender);
        Standing storage standing_ = _standings[peerKey];
        if (!_isEnrolled(standing_)) return;
        uint256 units = VAULT.unitsOf(peerKey);
        if (units == 0) emit MemberUnstaked(peerKey, _vacate(peerKey));
        else if (units < _seats[standing_.signer].weight) _setSeat(peerKey, standing_.signer, units);
    }

    /// @notice The round that is open now.
    function round() public view virtual returns (uint64);

    /// @notice Whether the peer is a member of `atRound`. Final for all rounds up to the current one.
    function isMember(bytes32 peerKey, uint64 atRound) external view returns (bool) {
        return weightOf(peerKey, atRound) != 0;
    }

    /// @notice The peer's weight in `atRound`; 0 when it is no member. Final for all rounds up to the current one.
    function weightOf(bytes32 peerKey, uint64 atRound) public view returns (uint256 weight) {
        (, weight) = _signerAt(peerKey, atRound);
    }

    /// @notice What a signature of `signer` weighs in `atRound`. Final for all rounds up to the current one.
    function weightOfSigner(address signer, uint64 atRound) public view returns (uint256) {
        Seat memory seat = _seats[signer];
        if (seat.fromRound <= atRound) return seat.weight;
        Seat[] storage past = _pastSeats[signer];
        for (uint256 i = past.length; i > 0; --i) {
            seat = past[i - 1];
            if (seat.fromRound <= atRound) return seat.weight;
        }
        return 0;
    }

    /// @notice The sum of all members' weights in `atRound`. Final for all rounds up to the current one.
    function totalWeight(uint64 atRound) public view returns (uint256) {
        return _totals.upperLookupRecent(uint48(atRound)) >> 104;
    }

    /// @notice How many members `atRound` has. Final for all rounds up to the current one.
    function numMembers(uint64 atRound) public view returns (uint256) {
        return uint104(_totals.upperLookupRecent(uint48(atRound)));
    }

    /// @notice What the accounts in `signers`, in ascending order, weigh together in `atRound`; every one must be a member.
    function signedWeight(uint64 atRound, address[] calldata signers) public view returns (uint256 weight) {
        address previous = address(0);
        for (uint256 i = 0; i < signers.length; ++i) {
            weight += _checkedWeight(signers[i], previous, atRound);
            previous = signers[i];
        }
    }

    /// @notice The peer's standing for the next round.
    function standing(bytes32 peerKey) external view returns (StandingView memory) {
        Standing storage entry = _standings[peerKey];
        Bar storage bar = _bars[peerKey];
        uint64 weight = _seats[entry.signer].weight;
        return StandingView(
            weight != 0, entry.joinedRound, entry.lastRenewedRound, weight, bar.untilRound, bar.readmittedRound
        );
    }

    /// @notice How many peers ever enrolled.
    function rosterLength() external view returns (uint256) {
        return _roster.length;
    }

    /// @notice The members of `atRound` among the `limit` peers of the roster from `offset` on.
    /// @dev Made for eth_call: the cost grows with `limit`.
    function members(uint64 atRound, uint256 offset, uint256 limit) external view returns (MemberView[] memory page) {
        uint256 end = limit < _roster.length - _min(offset, _roster.length) ? offset + limit : _roster.length;
        page = new MemberView[](offset < end ? end - offset : 0);
        uint256 count;
        for (uint256 i = offset; i < end; ++i) {
            bytes32 peerKey = _roster[i];
            (address signer, uint256 weight) = _signerAt(peerKey, atRound);
            if (weight == 0) continue;
            PeerRegistry.PeerView memory entry = REGISTRY.peer(peerKey);
            page[count++] =
                MemberView(entry.peerId, signer, entry.owner, _standings[peerKey].joinedRound, uint64(weight));
        }
        assembly ("memory-safe") {
            mstore(page, count)
        }
    }

    /// @dev Remembers the other contracts of the run.
    function _initMembership(RunContracts calldata run) internal {
        VAULT = StakeVault(run.vault);
        REPUTATION = run.reputation;
        EQUIVOCATION = run.equivocation;
        DISPUTES = run.disputes;
        REQUESTS = run.requests;
    }

    /// @dev Called after a peer enrolled for the next round.
    function _afterEnrol() internal virtual;

    /// @dev Whether the last result, and `lastRenewed`, were longer ago than the run allows.
    function _isStuckSince(uint64 lastRenewed) internal view virtual returns (bool);

    /// @dev The weight of `signer` in `atRound`, which comes after `previous` and is a member.
    function _checkedWeight(address signer, address previous, uint64 atRound) internal view returns (uint256 weight) {
        if (signer <= previous) revert SignaturesUnordered(signer);
        weight = weightOfSigner(signer, atRound);
        if (weight == 0) revert NotAMember(signer, atRound);
    }

    /// @dev The account with which a member signs, from the next round on; zero when it never enrolled.
    function _signerOf(bytes32 peerKey) internal view returns (address) {
        return _standings[peerKey].signer;
    }

    function _isEnrolled(Standing storage standing_) private view returns (bool) {
        return _seats[standing_.signer].weight != 0;
    }

    /// @dev The account that had the peer's weight in `atRound`. Walks through former accounts.
    function _signerAt(bytes32 peerKey, uint64 atRound) internal view returns (address signer, uint256 weight) {
        signer = _standings[peerKey].signer;
        weight = weightOfSigner(signer, atRound);
        address[] storage former = _formerSigners[peerKey];
        for (uint256 i = former.length; i > 0 && weight == 0; --i) {
            signer = former[i - 1];
            weight = weightOfSigner(signer, atRound);
        }
    }

    /// @dev Give the account that the registry names the peer's weight from the next round on, and no other one.
    function _takeSeat(bytes32 peerKey, Standing storage standing_, uint256 units) private {
        address signer = REGISTRY.signerOf(peerKey);
        address former = standing_.signer;
        if (former != signer) {
            if (former != address(0)) {
                _setSeat(peerKey, former, 0);
                _formerSigners[peerKey].push(former);
            }
            standing_.signer = signer;
        }
        _setSeat(peerKey, signer, units);
    }

    function _vacate(bytes32 peerKey) private returns (uint64 next) {
        Standing storage standing_ = _standings[peerKey];
        if (!_isEnrolled(standing_)) revert NotEnrolled(peerKey);
        _setSeat(peerKey, standing_.signer, 0);
        return round() + 1;
    }

    function _setSeat(bytes32 peerKey, address signer, uint256 weight) private {
        uint64 next = round() + 1;
        Seat memory seat = _seats[signer];
        if (seat.weight == weight) return;
        if (seat.fromRound < next && seat.fromRound != 0) _pastSeats[signer].push(seat);
        _seats[signer] = Seat(uint40(next), uint16(weight));
        uint256 totals = _totals.latest();
        uint256 sum = (totals >> 104) + weight - seat.weight;
        uint256 count = uint104(totals) + (weight == 0 ? 0 : 1) - (seat.weight == 0 ? 0 : 1);
        _totals.push(uint48(next), (sum << 104 | count).toUint208());
        emit SeatChanged(peerKey, signer, next, uint64(weight));
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
