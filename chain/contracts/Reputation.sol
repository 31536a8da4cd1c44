// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {Contributions} from "./Contributions.sol";
import {CreditLine} from "./CreditLine.sol";
import {Membership} from "./Membership.sol";
import {RoundClock} from "./RoundClock.sol";
import {RunContracts, Rules} from "./RunTypes.sol";
import {Settlement} from "./Settlement.sol";

/// @title How peers behaved, and who has to go
/// @notice The members' ledger keeps a standing from 0 to 1000 for everybody; this contract takes lines of it over for
/// whoever wants to know, and takes out members that the ledger shows to be absent or of bad standing.
/// @dev What is kept comes from the latest recorded credits root, before the time to challenge it is over: it informs, and
/// decides nothing. Members are taken out by the root of the last final epoch only: otherwise a single dishonest quorum
/// could take out everybody else and then be the majority that a challenge asks for.
contract Reputation is Initializable {
    using CreditLine for uint256;

    /// @notice A member below this standing may be taken out.
    uint256 public constant MIN_STANDING = 100;
    /// @notice What nothing is known about.
    uint256 public constant NEWCOMER_STANDING = 500;
    /// @notice Rounds in which a standing without news halves.
    uint64 public constant HALF_LIFE_ROUNDS = 64;

    struct Kept {
        uint64 recordedRound;
        uint192 standing;
    }

    /// @notice Where the credits root comes from.
    Contributions public CONTRIBUTIONS;
    /// @notice Where final epochs are.
    Settlement public SETTLEMENT;
    /// @notice Where members are taken out.
    RoundClock public CLOCK;
    /// @notice For how many rounds a peer of bad standing may not come back.
    uint64 public BARRED_ROUNDS;
    /// @notice Rounds without a contribution after which a member may be taken out.
    uint64 public ABSENCE_ROUNDS;

    mapping(bytes32 peerKey => Kept) private _kept;

    /// @notice The peer's line, as of `round`.
    event StandingRecorded(bytes32 indexed peerKey, uint64 indexed round, uint256 line);

    /// @notice The proof does not lead from this line to the credits root that counts here.
    error LineRejected(bytes32 peerKey, bytes32 creditsRoot);
    /// @notice A line of this round, or of a later one, is kept already.
    error LineNotNewer(bytes32 peerKey, uint64 recordedRound);
    /// @notice There is no reason to take the member out.
    error MemberInGoodStanding(bytes32 peerKey, uint256 standing);
    /// @notice The peer is not a member of the next round.
    error NotEnrolled(bytes32 peerKey);

    constructor() {
        _disableInitializers();
    }

    /// @notice Begin without records. Once, by the factory.
    function initialize(RunContracts calldata run, Rules calldata rules) external initializer {
        CONTRIBUTIONS = Contributions(run.contributions);
        SETTLEMENT = Settlement(run.settlement);
        CLOCK = RoundClock(run.clock);
        BARRED_ROUNDS = rules.barredRounds;
        ABSENCE_ROUNDS = rules.absenceRounds;
    }

    /// @notice Keep the peer's line of the latest credits table. Anybody may.
    function record(bytes32 peerKey, uint256 line, bytes32[] calldata proof) external {
        _requireLine(CONTRIBUTIONS.creditsRoot(), peerKey, line, proof);
        uint64 settledRound = CONTRIBUTIONS.settledRound();
        uint64 recordedRound = _kept[peerKey].recordedRound;
        if (settledRound <= recordedRound) revert LineNotNewer(peerKey, recordedRound);
        _kept[peerKey] = Kept(settledRound, uint192(line.standing()));
        emit StandingRecorded(peerKey, settledRound, line);
    }

    /// @notice Take out a member whose line in the last final epoch shows bad standing (and bar it for a while), or too many
    /// rounds without a contribution (it may come back at once). Anybody may.
    /// @dev After it was barred, a peer has as many rounds as absence is tolerated to mend its standing.
    function eject(bytes32 peerKey, uint256 line, bytes32[] calldata proof) external {
        (uint64 finalRound, bytes32 root) = SETTLEMENT.lastFinal();
        _requireLine(root, peerKey, line, proof);
        Membership.StandingView memory member = CLOCK.standing(peerKey);
        if (!member.enrolled) revert NotEnrolled(peerKey);
        bool mayMend = member.readmittedRound != 0 && finalRound <= member.readmittedRound + ABSENCE_ROUNDS;
        if (line.standing() < MIN_STANDING && !mayMend) {
            CLOCK.eject(peerKey, CLOCK.round() + BARRED_ROUNDS);
            return;
        }
        uint64 lastActive = line.lastRound() > member.joinedRound ? line.lastRound() : member.joinedRound;
        if (lastActive + ABSENCE_ROUNDS >= finalRound) revert MemberInGoodStanding(peerKey, line.standing());
        CLOCK.eject(peerKey, 0);
    }

    /// @notice The peer's standing: the kept one, halved for every `HALF_LIFE_ROUNDS` since; that of a newcomer without any.
    function standingOf(bytes32 peerKey) external view returns (uint256) {
        Kept memory kept = _kept[peerKey];
        if (kept.recordedRound == 0) return NEWCOMER_STANDING;
        uint64 round = CLOCK.round();
        return kept.standing >> ((round - kept.recordedRound) / HALF_LIFE_ROUNDS);
    }

    function _requireLine(bytes32 root, bytes32 peerKey, uint256 line, bytes32[] calldata proof) private pure {
        if (!CreditLine.isIn(root, peerKey, line, proof)) revert LineRejected(peerKey, root);
    }
}
