// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Binary32} from "./leaf/Binary32.sol";
import {Elements} from "./leaf/Elements.sol";
import {Elementwise} from "./leaf/Elementwise.sol";
import {Kinds} from "./leaf/Kinds.sol";
import {Moves} from "./leaf/Moves.sol";
import {Noise} from "./leaf/Noise.sol";
import {ProgramNode} from "./leaf/ProgramNode.sol";
import {Quantise} from "./leaf/Quantise.sol";
import {Reduction} from "./leaf/Reduction.sol";
import {MalformedLeaf, UnknownKind} from "./leaf/Refusal.sol";
import {Transcendental} from "./leaf/Transcendental.sol";

/// @title One element of one operator, in exact/1
/// @notice The last step of a dispute: two sides agree on a node of the program and on what it reads, and differ in one
/// element of its output. `verde/program/kinds.py` says what every kind computes; docs/exact-1.md how.
/// @dev Stateless. Inputs come in the node's order, each as the bytes that lie in the input's tree: one element, or the
/// terms of a row. Inputs that are not read may be empty. A result is the element as an unsigned little-endian number
/// of its own size. `NotANumber` says that exact/1 has no result; any other revert that the caller made a mistake.
contract LeafEvaluator {
    using ProgramNode for bytes;

    /// @notice Output element `element` of `node`. A reduction gets all of its terms.
    function evaluate(bytes calldata node, uint256 element, bytes[] calldata inputs) external pure returns (uint32) {
        uint32[] memory c = _check(node, element, inputs);
        uint256 kind = node.kind();
        if (kind >= Kinds.EXPONENT) {
            if (Reduction.numTerms(kind, inputs) != node.numTerms()) revert MalformedLeaf();
            return Reduction.finish(node, Reduction.fold(node, c, 0, 0, inputs), inputs);
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
        if (first + Reduction.numTerms(node.kind(), inputs) > node.numTerms()) revert MalformedLeaf();
        return Reduction.fold(node, c, first, start, inputs);
    }

    /// @notice The element that a reduction's last integer stands for. Rows are not read.
    function finish(bytes calldata node, uint256 element, int256 folded, bytes[] calldata inputs)
        external
        pure
        returns (uint32)
    {
        _check(node, element, inputs);
        return Reduction.finish(node, folded, inputs);
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
        if (kind == Kinds.SELECT) return Elements.raw(inputs[Elements.flag(inputs[0]) ? 1 : 2], size);
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
            int256 factors = Elements.integer(inputs[0]) + int256(uint256(node.attribute(1)));
            return Elementwise.power(Binary32.read(node.attribute(0)), factors);
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
}
