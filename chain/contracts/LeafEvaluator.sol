// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Binary32} from "./leaf/Binary32.sol";
import {Dot} from "./leaf/Dot.sol";
import {Elements} from "./leaf/Elements.sol";
import {Elementwise} from "./leaf/Elementwise.sol";
import {FixedPoint} from "./leaf/FixedPoint.sol";
import {Kinds} from "./leaf/Kinds.sol";
import {Moves} from "./leaf/Moves.sol";
import {Noise} from "./leaf/Noise.sol";
import {ProgramNode} from "./leaf/ProgramNode.sol";
import {Quantise} from "./leaf/Quantise.sol";
import {MalformedLeaf, NotANumber, Reason, UnknownKind} from "./leaf/Refusal.sol";
import {Rounding} from "./leaf/Rounding.sol";
import {Sampling} from "./leaf/Sampling.sol";
import {Transcendental} from "./leaf/Transcendental.sol";

/// @title One element of one operator, in exact/1
/// @notice The last step of a dispute: two sides agree on a node of the program and on what it reads, and differ in one
/// element of its output. `verde/program/kinds.py` says what every kind computes; docs/exact-1.md how.
/// @dev Stateless. Inputs come in the node's order, each as the bytes that lie in the input's tree: one element, or the
/// terms of a row. Inputs that are not read may be empty. Results are the element as an unsigned little-endian number of
/// its own size. `NotANumber` says that exact/1 has no result; any other revert that the caller has made a mistake.
contract LeafEvaluator {
    using ProgramNode for bytes;

    /// @dev A mask of ones.
    uint256 private constant ALL_CHOSEN = 0x0101010101010101 << 192;

    /// @notice Output element `element` of `node`. A reduction gets all of its terms.
    function evaluate(bytes calldata node, uint256 element, bytes[] calldata inputs) external pure returns (uint32) {
        uint32[] memory c = _check(node, element, inputs);
        uint256 kind = node.kind();
        if (kind >= Kinds.EXPONENT) {
            if (_numTerms(kind, inputs) != node.numTerms()) revert MalformedLeaf();
            return _finish(node, _fold(node, c, 0, 0, inputs), inputs);
        }
        if (kind >= Kinds.ADD) return _compute(node, kind, c, inputs);
        return _move(node, kind, element, c, inputs);
    }

    /// @notice What a reduction's integer is after the terms from `first` on, if it was `start` before them. Only rows
    /// and what scales them (SUM's exponent) are read.
    function fold(bytes calldata node, uint256 element, uint256 first, int256 start, bytes[] calldata inputs)
        external
        pure
        returns (int256)
    {
        uint32[] memory c = _check(node, element, inputs);
        if (first + _numTerms(node.kind(), inputs) > node.numTerms()) revert MalformedLeaf();
        return _fold(node, c, first, start, inputs);
    }

    /// @notice The element that a reduction's last integer stands for. Rows are not read.
    function finish(bytes calldata node, uint256 element, int256 folded, bytes[] calldata inputs)
        external
        pure
        returns (uint32)
    {
        _check(node, element, inputs);
        return _finish(node, folded, inputs);
    }

    /// @notice Whether output element `element` reads input `input`, and which element of it (the first one of a row).
    /// @param indices What the other inputs of a GATHER hold, for its input 0; otherwise empty.
    function source(bytes calldata node, uint256 element, uint256 input, bytes[] calldata indices)
        external
        pure
        returns (bool isRead, uint256 position)
    {
        node.check();
        return Moves.source(node, node.coordinates(element), input, indices);
    }

    function _check(bytes calldata node, uint256 element, bytes[] calldata inputs)
        private
        pure
        returns (uint32[] memory)
    {
        node.check();
        if (inputs.length != node.numInputs()) revert MalformedLeaf();
        return node.coordinates(element);
    }

    function _move(bytes calldata node, uint256 kind, uint256 element, uint32[] memory c, bytes[] calldata inputs)
        private
        pure
        returns (uint32)
    {
        uint256 size = node.elementSize();
        if (kind == Kinds.CONST) return Elements.narrowed(node.attribute(element), size);
        if (kind == Kinds.COPY || kind == Kinds.GATHER) return Elements.raw(inputs[0], size);
        if (kind == Kinds.PAD) return Moves.isPadding(node, c) ? 0 : Elements.raw(inputs[0], size);
        if (kind == Kinds.CONCAT) return Elements.raw(inputs[Moves.joinsSecond(node, c) ? 1 : 0], size);
        if (kind == Kinds.SELECT) return Elements.number(inputs[Elements.flag(inputs[0]) ? 1 : 2]);
        revert UnknownKind(kind);
    }

    function _compute(bytes calldata node, uint256 kind, uint32[] memory c, bytes[] calldata inputs)
        private
        pure
        returns (uint32)
    {
        if (kind <= Kinds.DIV || kind == Kinds.MINIMUM || kind == Kinds.MAXIMUM) return _binary(kind, inputs);
        if (kind <= Kinds.SIGMOID) return Elementwise.unary(kind, Elements.number(inputs[0]));
        if (kind == Kinds.TO_FLOAT) return Elementwise.fromInteger(Elements.integer(inputs[0]));
        if (kind <= Kinds.EQ) return _binary(kind, inputs);
        if (kind == Kinds.MASK) return _mask(node, c, Elements.word(inputs[0]), Elements.word(inputs[1])) ? 1 : 0;
        if (kind == Kinds.GUMBEL) return _gumbel(c, inputs);
        if (kind == Kinds.POWER) {
            return Elementwise.power(Binary32.read(node.attribute(0)), Elements.integer(inputs[0]));
        }
        if (kind == Kinds.QUANTISE) {
            int256 scale = inputs.length == 3 ? Elements.integer(inputs[2]) : int256(0);
            int256 q = Quantise.significand(Elements.number(inputs[0]), scale, Elements.integer(inputs[1]));
            return Elements.narrowed(uint32(uint256(q)), 2);
        }
        revert UnknownKind(kind);
    }

    function _binary(uint256 kind, bytes[] calldata inputs) private pure returns (uint32) {
        return Elementwise.binary(kind, Elements.number(inputs[0]), Elements.number(inputs[1]));
    }

    function _gumbel(uint32[] memory c, bytes[] calldata inputs) private pure returns (uint32) {
        uint64 seed = uint64(Elements.word(inputs[1])) << 32 | Elements.word(inputs[0]);
        return Transcendental.gumbel(Noise.word(seed, Elements.word(inputs[2]), c[c.length - 1]));
    }

    /// @dev Segments: -1 is nobody's, 0 everybody's.
    function _mask(bytes calldata node, uint32[] memory c, uint32 own, uint32 other) private pure returns (bool) {
        uint32 query = c[c.length - 2];
        uint32 key = c[c.length - 1];
        if (query == key) return true;
        if (key > query || other == type(uint32).max || (other != 0 && other != own)) return false;
        uint32 window = node.attribute(0);
        return window == 0 || query - key < window;
    }

    /// @dev Terms of the rows that are given.
    function _numTerms(uint256 kind, bytes[] calldata inputs) private pure returns (uint256) {
        return Elements.terms(inputs[0], kind == Kinds.DOT ? 2 : 4);
    }

    function _fold(bytes calldata node, uint32[] memory c, uint256 first, int256 start, bytes[] calldata inputs)
        private
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
        for (uint256 offset; offset < row.length; offset += 32) {
            total += FixedPoint.sum(Elements.readLanes(Elements.lanes(row, offset)), e);
        }
    }

    /// @dev Of one row, or of one row and its scales.
    function _largestKey(int256 start, bytes[] calldata inputs) private pure returns (int256 largest) {
        bytes calldata row = inputs[0];
        bytes calldata scales = inputs[inputs.length - 1];
        if (scales.length != row.length) revert MalformedLeaf();
        largest = start;
        for (uint256 offset; offset < row.length; offset += 32) {
            uint256 eight = Elements.readLanes(Elements.lanes(row, offset));
            largest = Quantise.largestKey(eight, inputs.length == 2 ? Elements.lanes(scales, offset) : 0, largest);
        }
    }

    /// @dev Of one row, or of one row and its mask.
    function _largestPlace(uint256 first, uint256 start, bytes[] calldata inputs) private pure returns (uint256 largest) {
        bytes calldata row = inputs[0];
        bool isMasked = inputs.length == 2;
        if (isMasked && inputs[1].length != row.length / 4) revert MalformedLeaf();
        largest = start;
        for (uint256 offset; offset < row.length; offset += 32) {
            uint256 terms = Math.min((row.length - offset) / 4, 8);
            uint256 chosen = isMasked ? Elements.cut(inputs[1], offset / 4) : ALL_CHOSEN;
            chosen &= ~(type(uint256).max >> (8 * terms));
            uint256 eight = Elements.readLanes(Elements.lanes(row, offset));
            largest = Sampling.largestPlace(eight, chosen, first + offset / 4, largest);
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
            folded = isSum ? folded + FixedPoint.sum(eight, e) : Quantise.largestKey(eight, 0, folded);
        }
    }

    function _finish(bytes calldata node, int256 folded, bytes[] calldata inputs) private pure returns (uint32) {
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
