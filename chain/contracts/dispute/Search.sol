// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ProgramNode} from "../leaf/ProgramNode.sol";
import {
    BadOpening,
    CHUNK_BYTES,
    PART,
    Phase,
    Piece,
    SearchBegun,
    ShownNode,
    State,
    STEP_LEVELS,
    Unfit
} from "./GameTypes.sol";
import {Openings} from "./Openings.sol";
import {PositionTree} from "./PositionTree.sol";
import {Reads} from "./Reads.sol";

/// @title From two roots to one element
/// @notice What each move makes of a game's state: the rules of `verde/bisect/game.py`, in the same order. Whose turn it is
/// and which kind of move is waited for is the caller's concern.
library Search {
    using ProgramNode for bytes;

    /// @dev keccak256("verde/program/1").
    bytes32 private constant PROGRAM_FORMAT = 0xfab4dd80724f1f33fa093d49e96f5cc1d080347565f258a3324482141a9d4953;
    /// @dev The largest node of a program has 2^32 elements.
    uint256 private constant MAX_ELEMENTS = 1 << 32;
    int256 private constant FOLD_BOUND = 1 << 127;

    function postTrace(
        State memory state,
        bytes32 traceRoot,
        uint256 numNodes,
        bytes32 nodesRoot,
        bytes32 outputsRoot,
        bytes32[] calldata children
    ) internal pure returns (State memory) {
        bytes32 program = keccak256(abi.encode(PROGRAM_FORMAT, numNodes, nodesRoot, outputsRoot));
        if (program != state.programRoot || numNodes == 0) revert BadOpening(Piece.Program);
        state.traceRoot = traceRoot;
        state.numNodes = numNodes;
        state.nodesRoot = nodesRoot;
        state.outputsRoot = outputsRoot;
        state.current = traceRoot;
        state.level = PositionTree.depthOf(numNodes);
        requireChildren(state, children);
        return state;
    }

    /// @notice Reverts unless these are the hashes below the one that is searched.
    function requireChildren(State memory state, bytes32[] memory children) internal pure {
        if (children.length != numChildren(state)) revert Unfit();
        if (PositionTree.topOf(children, levelsBelow(state)) != state.current) revert BadOpening(Piece.Hashes);
    }

    /// @notice The state after a hash was picked, what is waited for then, and whether a node was shown with it.
    function pick(
        State memory state,
        uint256 child,
        bytes32 hash,
        bytes32[] calldata proof,
        ShownNode calldata node
    ) internal pure returns (State memory, Phase, bool) {
        uint256 levels = levelsBelow(state);
        uint256 width = numChildren(state);
        if (child >= width) revert Unfit();
        (bool isFit, bytes32 root) = PositionTree.rootOf(width, child, hash, proof, levels);
        if (!isFit || root != state.current) revert BadOpening(Piece.Hashes);
        state.current = hash;
        state.index = (state.index << levels) + child;
        state.level -= levels;
        if (state.level != 0) return (state, Phase.Reveal, false);
        if (state.nodeHash != 0) return (state, Phase.Chunk, false);
        _enterNode(state, node);
        return (state, state.level == 0 ? Phase.Chunk : Phase.Reveal, true);
    }

    /// @notice Reverts unless these are the bytes of the chunk that was found.
    function requireChunk(State memory state, bytes calldata raw) internal pure {
        if (keccak256(raw) != state.current) revert BadOpening(Piece.Chunk);
        uint256 left = state.outputBytes - state.index * CHUNK_BYTES;
        if (raw.length != (left < CHUNK_BYTES ? left : CHUNK_BYTES)) revert Unfit();
    }

    function pickElement(State memory state, uint256 offset, bytes calldata raw)
        internal
        pure
        returns (State memory, Phase)
    {
        if (keccak256(raw) != state.current) revert BadOpening(Piece.Chunk);
        uint256 size = state.elementSize;
        if (offset >= raw.length / size) revert Unfit();
        state.element = state.index * (CHUNK_BYTES / size) + offset;
        uint256 claimed;
        for (uint256 i = size; i > 0; --i) {
            claimed = claimed << 8 | uint8(raw[offset * size + i - 1]);
        }
        state.claimed = claimed;
        state.last = state.length;
        return (state, state.length > PART ? Phase.Parts : Phase.Leaf);
    }

    function revealParts(State memory state, int256[] calldata values) internal pure returns (State memory) {
        (uint256 count,) = Reads.ranges(state.last - state.first);
        if (values.length != count) revert Unfit();
        if (state.isInner && values[count - 1] != state.afterwards) revert Unfit();
        for (uint256 i = 0; i < count; ++i) {
            if (values[i] >= FOLD_BOUND || values[i] <= -FOLD_BOUND) revert Unfit();
        }
        state.partsHash = keccak256(abi.encode(values));
        return state;
    }

    function pickPart(State memory state, uint256 part, int256[] calldata parts)
        internal
        pure
        returns (State memory)
    {
        if (state.partsHash == 0 || part >= parts.length) revert Unfit();
        if (keccak256(abi.encode(parts)) != state.partsHash) revert BadOpening(Piece.Parts);
        (, uint256 size) = Reads.ranges(state.last - state.first);
        uint256 first = state.first + part * size;
        uint256 last = first + size < state.last ? first + size : state.last;
        if (last - first <= PART) revert Unfit();
        if (part != 0) state.before = parts[part - 1];
        state.afterwards = parts[part];
        state.isInner = true;
        state.first = first;
        state.last = last;
        state.partsHash = 0;
        return state;
    }

    /// @notice Reverts unless the search has not begun.
    function requireBegin(State calldata state) internal pure {
        if (state.nodeHash != 0 || state.level != PositionTree.depthOf(state.numNodes)) revert SearchBegun();
    }

    /// @notice How many levels the next hashes lie below the present one.
    function levelsBelow(State memory state) internal pure returns (uint256) {
        return state.level < STEP_LEVELS ? state.level : STEP_LEVELS;
    }

    /// @notice How many hashes there are.
    function numChildren(State memory state) internal pure returns (uint256) {
        uint256 levels = levelsBelow(state);
        uint256 width = PositionTree.widthOf(_numLeaves(state), state.level - levels) - (state.index << levels);
        return width < uint256(1) << levels ? width : uint256(1) << levels;
    }

    /// @dev Of the tree that is searched: the trace, or one output.
    function _numLeaves(State memory state) private pure returns (uint256) {
        return state.nodeHash == 0 ? state.numNodes : (state.outputBytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
    }

    /// @dev The program's node whose output was found begins the second search.
    function _enterNode(State memory state, ShownNode calldata node) private pure {
        Openings.requireNode(state.nodesRoot, state.numNodes, state.index, node);
        node.encoded.check();
        uint256 elements = node.encoded.outputElements();
        if (elements == 0 || elements > MAX_ELEMENTS) revert BadOpening(Piece.Node);
        state.nodeHash = keccak256(node.encoded);
        state.number = state.index;
        state.elementSize = node.encoded.elementSize();
        state.outputBytes = elements * state.elementSize;
        state.length = node.encoded.numTerms();
        state.index = 0;
        state.level = PositionTree.depthOf(_numLeaves(state));
    }
}
