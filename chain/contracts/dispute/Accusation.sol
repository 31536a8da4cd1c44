// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {BadOpening, Piece, State, Subject, Work} from "./GameTypes.sol";
import {Openings} from "./Openings.sol";

/// @title What a signed contribution commits to
library Accusation {
    /// @dev A contribution's bytes end with 32 bytes of `work`; msgpack writes these before them.
    bytes2 private constant WORK_MARK = 0xc420;

    /// @notice Reverts unless `work` is what the contribution's last field is the hash of.
    function requireWork(bytes calldata contribution, Work calldata work) internal pure {
        uint256 length = contribution.length;
        bool isIt = length >= 34 && bytes2(contribution[length - 34:length - 32]) == WORK_MARK
            && bytes32(contribution[length - 32:]) == sha256(abi.encode(work));
        if (!isIt) revert BadOpening(Piece.Contribution);
    }

    /// @notice Write into `state` what the game is about; a draw must be one of the contribution's.
    function setSubject(State memory state, Work calldata work, Subject calldata subject) internal pure {
        state.stateBefore = work.stateBefore;
        if (subject.index == -1) {
            // A step that nobody could write down as a program is not named: its peer could answer nothing.
            if (work.stepProgram == 0) revert BadOpening(Piece.Program);
            state.isStep = true;
            state.programRoot = work.stepProgram;
            state.dataRoot = work.stepData;
            state.stateAfter = work.stateAfter;
            return;
        }
        if (subject.index < 0) revert BadOpening(Piece.Draws);
        uint256 line = uint256(sha256(abi.encode(subject.program, subject.data)));
        Openings.requireLine(work.draws, bytes32(uint256(subject.index)), line, subject.proof, Piece.Draws);
        state.programRoot = subject.program;
        state.dataRoot = subject.data;
    }
}
