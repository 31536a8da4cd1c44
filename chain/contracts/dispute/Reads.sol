// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Kinds} from "../leaf/Kinds.sol";
import {ProgramNode} from "../leaf/ProgramNode.sol";
import {MOST_PARTS, PART} from "./GameTypes.sol";

/// @title Which inputs a leaf depends on, and how long their elements and rows are
/// @notice What `RULES` of `verde/program/kinds.py` say of inputs.
library Reads {
    using ProgramNode for bytes;

    /// @notice What is computed: an element at once, one part of a reduction, or the element from the whole fold.
    enum Task {
        Element,
        Fold,
        Finish
    }

    /// @notice How many values a fold over `terms` is revealed at, and the terms of each part but the last.
    function ranges(uint256 terms) internal pure returns (uint256 count, uint256 size) {
        size = PART * ((terms + PART * MOST_PARTS - 1) / (PART * MOST_PARTS));
        count = (terms + size - 1) / size;
    }

    /// @notice Whether the kind reads this input for that, as far as its rule says.
    function isNeeded(uint256 kind, uint256 input, Task task) internal pure returns (bool) {
        if (task == Task.Element) return true;
        bool isSum = kind == Kinds.SUM || kind == Kinds.SUM_WHERE;
        if (task == Task.Fold) return isRow(kind, input) || (isSum && input == 1);
        return (isSum && input == 1) || (kind == Kinds.DOT && input & 1 == 1);
    }

    /// @notice Whether an input is read as a row of terms.
    function isRow(uint256 kind, uint256 input) internal pure returns (bool) {
        if (kind < Kinds.EXPONENT) return false;
        if (kind == Kinds.DOT) return input & 1 == 0;
        if (kind == Kinds.SUM || kind == Kinds.SUM_WHERE) return input != 1;
        return true;
    }

    /// @notice Bytes of one element of an input.
    function sizeOf(bytes calldata node, uint256 input) internal pure returns (uint256) {
        uint256 kind = node.kind();
        if (kind == Kinds.COPY || kind == Kinds.PAD || kind == Kinds.CONCAT) return node.elementSize();
        if (kind == Kinds.GATHER) return input == 0 ? node.elementSize() : 4;
        if (kind == Kinds.SELECT) return input == 0 ? 1 : 4;
        if (kind == Kinds.DOT) return input & 1 == 0 ? 2 : 4;
        return kind == Kinds.MAX && input == 1 ? 1 : 4;
    }
}
