// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Dot} from "./Dot.sol";
import {Elements} from "./Elements.sol";
import {FixedPoint} from "./FixedPoint.sol";
import {Kinds} from "./Kinds.sol";
import {Moves} from "./Moves.sol";
import {ProgramNode} from "./ProgramNode.sol";
import {Quantise} from "./Quantise.sol";
import {MalformedLeaf, UnknownKind} from "./Refusal.sol";
import {Rounding} from "./Rounding.sol";
import {Sampling} from "./Sampling.sol";

/// @title Kinds that fold rows into one integer
/// @notice A row may come in parts: what one part leaves is where the next one starts.
library Reduction {
    using ProgramNode for bytes;

    /// @dev A mask of ones.
    uint256 private constant ALL_CHOSEN = 0x0101010101010101 << 192;

    /// @notice Terms of the rows that are given.
    function numTerms(uint256 kind, bytes[] calldata inputs) internal pure returns (uint256) {
        return Elements.terms(inputs[0], kind == Kinds.DOT ? 2 : 4);
    }

    /// @notice The integer after the terms from `first` on, if it was `start` before them.
    function fold(bytes calldata node, uint32[] memory c, uint256 first, int256 start, bytes[] calldata inputs)
        internal
        pure
        returns (int256)
    {
        uint256 kind = node.kind();
        if (kind == Kinds.DOT) return start + Dot.product(inputs[0], inputs[2]);
        if (kind == Kinds.SUM) return start + _sum(inputs[0], Elements.integer(inputs[1]));
        if (kind == Kinds.EXPONENT) return _largestKey(start, inputs);
        if (kind == Kinds.EXPONENT_WHERE || kind == Kinds.SUM_WHERE) return _foldWhere(node, c, start, inputs);
        if (start < 0 || first >> 32 != 0) revert MalformedLeaf();
        if (kind == Kinds.MAX) return int256(_largestPlace(0, uint256(start) << 32, inputs) >> 32);
        if (kind == Kinds.ARGMAX) return int256(_largestPlace(first, uint256(start), inputs));
        revert UnknownKind(kind);
    }

    function _sum(bytes calldata row, int256 e) private pure returns (int256 total) {
        unchecked {
            for (uint256 offset; offset < row.length; offset += 32) {
                total += FixedPoint.sum(Elements.readLanes(Elements.lanes(row, offset)), e);
            }
        }
    }

    /// @dev Of one row, or of one row and its scales.
    function _largestKey(int256 start, bytes[] calldata inputs) private pure returns (int256 largest) {
        bytes calldata row = inputs[0];
        bytes calldata scales = inputs[inputs.length - 1];
        if (scales.length != row.length) revert MalformedLeaf();
        if (inputs.length == 1) return Quantise.key(_largestMagnitude(row), start);
        largest = start;
        unchecked {
            for (uint256 offset; offset < row.length; offset += 32) {
                uint256 eight = Elements.readLanes(Elements.lanes(row, offset));
                largest = Quantise.largestKey(eight, Elements.lanes(scales, offset), largest);
            }
        }
    }

    function _largestMagnitude(bytes calldata row) private pure returns (uint256 largest) {
        unchecked {
            for (uint256 offset; offset < row.length; offset += 32) {
                largest = Quantise.largestMagnitude(Elements.readLanes(Elements.lanes(row, offset)), largest);
            }
        }
    }

    /// @dev Of one row, or of one row and its mask.
    function _largestPlace(uint256 first, uint256 start, bytes[] calldata inputs)
        private
        pure
        returns (uint256 largest)
    {
        bytes calldata row = inputs[0];
        bool isMasked = inputs.length == 2;
        if (isMasked && inputs[1].length != row.length / 4) revert MalformedLeaf();
        largest = start;
        unchecked {
            for (uint256 offset; offset < row.length; offset += 32) {
                uint256 terms = Math.min((row.length - offset) / 4, 8);
                uint256 chosen = isMasked ? Elements.cut(inputs[1], offset / 4) : ALL_CHOSEN;
                chosen &= ~(type(uint256).max >> (8 * terms));
                uint256 eight = Elements.readLanes(Elements.lanes(row, offset));
                largest = Sampling.largestPlace(eight, chosen, first + offset / 4, largest);
            }
        }
    }

    function _foldWhere(bytes calldata node, uint32[] memory c, int256 start, bytes[] calldata inputs)
        private
        pure
        returns (int256 folded)
    {
        bool isSum = node.kind() == Kinds.SUM_WHERE;
        uint256 firstIndex = isSum ? 2 : 1;
        if (inputs.length - firstIndex > c.length) revert MalformedLeaf();
        for (uint256 k = firstIndex; k < inputs.length; ++k) {
            if (inputs[k].length != inputs[0].length) revert MalformedLeaf();
        }
        folded = start;
        if (c[0] == node.attribute(0)) return folded;
        int256 e = isSum ? Elements.integer(inputs[1]) : int256(0);
        for (uint256 offset; offset < inputs[0].length; offset += 32) {
            uint256 eight = Moves.chosenLanes(inputs, firstIndex, c, offset) & Elements.cut(inputs[0], offset);
            if (eight == 0) continue;
            eight = Elements.readLanes(Elements.swapPairs(Elements.swapBytes(eight)));
            if (isSum) folded += FixedPoint.sum(eight, e);
            else folded = Quantise.key(Quantise.largestMagnitude(eight, 0), folded);
        }
    }

    /// @notice The element that the last integer stands for.
    function finish(bytes calldata node, int256 folded, bytes[] calldata inputs) internal pure returns (uint32) {
        uint256 kind = node.kind();
        if (kind == Kinds.DOT) {
            int256 e = Elements.integer(inputs[1]) + (inputs.length == 4 ? Elements.integer(inputs[3]) : int256(0));
            return Rounding.toBinary32(folded, e - 2 * Quantise.BITS);
        }
        if (kind == Kinds.SUM || kind == Kinds.SUM_WHERE) {
            return Rounding.toBinary32(folded, Elements.integer(inputs[1]) - FixedPoint.BITS);
        }
        if (folded < 0) revert MalformedLeaf();
        if (kind == Kinds.EXPONENT) return _integer(Quantise.exponent(folded, node.attribute(0) != 0));
        if (kind == Kinds.EXPONENT_WHERE) return _integer(Quantise.exponent(folded, false));
        if (kind == Kinds.MAX) return Sampling.ranked(uint256(folded));
        if (kind == Kinds.ARGMAX) return Sampling.termOf(uint256(folded));
        revert UnknownKind(kind);
    }

    function _integer(int256 x) private pure returns (uint32) {
        return uint32(int32(x));
    }
}
