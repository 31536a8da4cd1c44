// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Elements} from "./Elements.sol";
import {Kinds} from "./Kinds.sol";
import {ProgramNode} from "./ProgramNode.sol";
import {MalformedLeaf, NotANumber, Reason} from "./Refusal.sol";

/// @title Which elements of its inputs an output element depends on
/// @notice Views, transposes, broadcasts, padding, joining and gathering are arithmetic on indices.
library Moves {
    using ProgramNode for bytes;

    /// @notice Whether output element `c` reads input `input`, and from which element on. `indices` is what the node's
    /// other inputs hold there, for a gathering node's first input; otherwise it is empty.
    function source(bytes calldata node, uint32[] memory c, uint256 input, bytes[] calldata indices)
        internal
        pure
        returns (bool isRead, uint256 position)
    {
        uint256 kind = node.kind();
        int256 found;
        if (kind == Kinds.CONCAT) {
            isRead = joinsSecond(node, c) == (input == 1);
            found = input == 1 ? int256(uint256(c[0])) - int256(uint256(node.attribute(0))) : int256(uint256(c[0]));
        } else {
            isRead = kind != Kinds.PAD || !isPadding(node, c);
            found = node.access(input, c);
            if (kind == Kinds.GATHER && input == 0) found += _shift(node, indices);
        }
        if (!isRead) return (false, 0);
        // Only what a gathering node's indices say is not known to be right before.
        if (found < 0 || uint256(found) >= node.numElements(input)) revert NotANumber(Reason.IndexBeyondEnd);
        return (true, uint256(found));
    }

    /// @notice Whether an element of a padded tensor lies outside of what is padded.
    function isPadding(bytes calldata node, uint32[] memory c) internal pure returns (bool) {
        uint256 axis = node.attribute(0);
        if (axis >= c.length) revert MalformedLeaf();
        return c[axis] < node.attribute(1) || c[axis] >= node.attribute(2);
    }

    /// @notice Whether an element of two joined tensors comes from the second one.
    function joinsSecond(bytes calldata node, uint32[] memory c) internal pure returns (bool) {
        if (c.length != 1) revert MalformedLeaf();
        return c[0] >= node.attribute(0);
    }

    /// @notice All bits of each of eight lanes, terms from byte `offset` of the rows on, in which index k is c[k] for
    /// every row of indices: the inputs from `firstIndex` on.
    function chosenLanes(bytes[] calldata inputs, uint256 firstIndex, uint32[] memory c, uint256 offset)
        internal
        pure
        returns (uint256 chosen)
    {
        chosen = type(uint256).max;
        for (uint256 k; firstIndex + k < inputs.length; ++k) {
            chosen &= Elements.zeroLanes(Elements.cut(inputs[firstIndex + k], offset) ^ Elements.repeated(c[k]));
        }
    }

    /// @dev Sum of stride_k · i_k.
    function _shift(bytes calldata node, bytes[] calldata indices) private pure returns (int256 by) {
        if (indices.length != node.numAttributes()) revert MalformedLeaf();
        for (uint256 k; k < indices.length; ++k) by += int256(int32(node.attribute(k))) * Elements.integer(indices[k]);
    }
}
