// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {DisputeGame} from "./DisputeGame.sol";
import {DisputeJudge} from "./DisputeJudge.sol";
import {LeafEvaluator} from "./LeafEvaluator.sol";
import {SwarmBase} from "./SwarmBase.sol";

/// @title Second part of what is there once per chain: what decides about work
/// @notice The evaluator and the judge serve every run as they are; games are cloned for each.
contract SwarmCourts {
    LeafEvaluator public immutable EVALUATOR;
    DisputeJudge public immutable JUDGE;
    DisputeGame public immutable DISPUTES;

    constructor(SwarmBase base) {
        EVALUATOR = new LeafEvaluator();
        JUDGE = new DisputeJudge(EVALUATOR);
        DISPUTES = new DisputeGame(base.REGISTRY(), JUDGE);
    }
}
