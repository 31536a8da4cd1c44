// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {MalformedLeaf} from "./Refusal.sol";

/// @title The byte string of one node of a program
/// @notice Big-endian, without gaps: kind, type, rank, number of inputs (8 bits each), number of attributes (16),
/// length (32); the output's sizes (32 each); per input its node (32), how many elements that one has (32), start
/// (signed, 64) and strides (signed, 32 each); the attributes (32 each). `verde/program/node.py` writes it.
library ProgramNode {
    uint256 private constant HEAD = 10;
    /// @dev Of an input, without its strides.
    uint256 private constant INPUT_WORDS = 4;

    /// @notice Reverts where the bytes are not as long as they say. Call it before anything else.
    function check(bytes calldata node) internal pure {
        if (node.length < HEAD || node.length != HEAD + 4 * (_firstAttribute(node) + numAttributes(node))) {
            revert MalformedLeaf();
        }
    }

    function kind(bytes calldata node) internal pure returns (uint256) {
        return uint8(node[0]);
    }

    /// @notice Bytes of one element of the output.
    function elementSize(bytes calldata node) internal pure returns (uint256) {
        uint256 number = uint8(node[1]);
        if (number > 3) revert MalformedLeaf();
        return number == 3 ? 1 : number == 2 ? 2 : 4;
    }

    function rank(bytes calldata node) internal pure returns (uint256) {
        return uint8(node[2]);
    }

    function numInputs(bytes calldata node) internal pure returns (uint256) {
        return uint8(node[3]);
    }

    function numAttributes(bytes calldata node) internal pure returns (uint256) {
        return uint16(bytes2(node[4:6]));
    }

    /// @notice How many terms a reduction has; 0 for other kinds.
    function numTerms(bytes calldata node) internal pure returns (uint256) {
        return uint32(bytes4(node[6:10]));
    }

    function attribute(bytes calldata node, uint256 index) internal pure returns (uint32) {
        if (index >= numAttributes(node)) revert MalformedLeaf();
        return _word(node, _firstAttribute(node) + index);
    }

    /// @notice Where output element `element` lies.
    function coordinates(bytes calldata node, uint256 element) internal pure returns (uint32[] memory c) {
        uint256 axis = rank(node);
        c = new uint32[](axis);
        while (axis > 0) {
            uint256 size = _word(node, --axis);
            if (size == 0) revert MalformedLeaf();
            c[axis] = uint32(element % size);
            element /= size;
        }
        if (element != 0) revert MalformedLeaf();
    }

    /// @notice How many elements the output has.
    function outputElements(bytes calldata node) internal pure returns (uint256 count) {
        count = 1;
        for (uint256 axis; axis < rank(node); ++axis) count *= _word(node, axis);
    }

    /// @notice Which earlier node an input is the output of.
    function inputNode(bytes calldata node, uint256 input) internal pure returns (uint256) {
        return _word(node, _firstOf(node, input));
    }

    /// @notice How many elements an input has.
    function numElements(bytes calldata node, uint256 input) internal pure returns (uint256) {
        return _word(node, _firstOf(node, input) + 1);
    }

    /// @notice start + sum of strides[axis] · c[axis] of an input.
    function access(bytes calldata node, uint256 input, uint32[] memory c) internal pure returns (int256 position) {
        uint256 word = _firstOf(node, input) + 2;
        position = int64(uint64(_word(node, word)) << 32 | _word(node, word + 1));
        for (uint256 axis; axis < c.length; ++axis) {
            position += int256(int32(_word(node, word + 2 + axis))) * int256(uint256(c[axis]));
        }
    }

    function _firstAttribute(bytes calldata node) private pure returns (uint256) {
        return rank(node) + numInputs(node) * (INPUT_WORDS + rank(node));
    }

    /// @dev Where an input's words begin.
    function _firstOf(bytes calldata node, uint256 input) private pure returns (uint256) {
        if (input >= numInputs(node)) revert MalformedLeaf();
        return rank(node) + input * (INPUT_WORDS + rank(node));
    }

    /// @dev Word `index` behind the head; the caller stays within what `check` has seen.
    function _word(bytes calldata node, uint256 index) private pure returns (uint32 word) {
        assembly ("memory-safe") {
            word := shr(224, calldataload(add(node.offset, add(HEAD, shl(2, index)))))
        }
    }
}
