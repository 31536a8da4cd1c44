// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @notice The rules of a run that the chain enforces. Seconds, rounds, counts; amounts in millionths of a credit.
/// @param roundS Deadline of a round; also the time after which a quorum that did not come together doubles.
/// @param startMembers Enrolled members that open round 1 at once.
/// @param absenceRounds Rounds without a sign of life after which a member may be taken out.
/// @param quorumSize Members that are expected to be drawn to attest a result.
/// @param posterS Time after which twice as many members may post a result.
/// @param epochRounds Rounds between two payable epochs.
/// @param challengeS Time in which an epoch may be challenged.
/// @param disputeS Time after that in which single contributions may still be disputed; then the epoch is paid.
/// @param unbondingS Time that stake stays liable after its owner asked for it.
/// @param answerS Time in which a challenge must be answered.
/// @param barredRounds Rounds for which an ejected peer may not enrol again.
/// @param minStakeMicro Stake of one unit of weight; 0 = nobody needs any, everybody weighs the same.
/// @param bondMicro What who challenges an epoch puts at stake.
/// @param roundEmissionMicro The most that one result may credit.
/// @param traceS Time in which an accused peer must commit to a trace of its work.
/// @param moveS Time in which every later move of a dispute must be made, or a request for data answered.
/// @param disputeBondMicro What who accuses a peer puts at stake.
struct Rules {
    uint64 roundS;
    uint64 startMembers;
    uint64 absenceRounds;
    uint64 quorumSize;
    uint64 posterS;
    uint64 epochRounds;
    uint64 challengeS;
    uint64 disputeS;
    uint64 unbondingS;
    uint64 answerS;
    uint64 barredRounds;
    uint256 minStakeMicro;
    uint256 bondMicro;
    uint256 roundEmissionMicro;
    uint64 traceS;
    uint64 moveS;
    uint256 disputeBondMicro;
}

/// @notice Where the parts of one run are.
struct RunContracts {
    address clock;
    address contributions;
    address settlement;
    address vault;
    address reputation;
    address equivocation;
    address disputes;
    address requests;
}

/// @notice An ERC-2098 signature: r, and s with the parity of y on top.
struct Signature {
    bytes32 r;
    bytes32 vs;
}

/// @dev Token units per millionth of a credit: 1e6 micro-credits are one token of 1e18 units.
uint256 constant WEI_PER_MICRO = 1e12;
