// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {LeafEvaluator} from "./LeafEvaluator.sol";
import {
    BadOpening,
    NothingShown,
    PART,
    Piece,
    ShownElement,
    ShownLeaf,
    ShownPiece,
    ShownResult,
    ShownStep,
    State,
    Unfit
} from "./dispute/GameTypes.sol";
import {Openings} from "./dispute/Openings.sol";
import {Reads} from "./dispute/Reads.sol";
import {Elements} from "./leaf/Elements.sol";
import {Kinds} from "./leaf/Kinds.sol";
import {Moves} from "./leaf/Moves.sol";
import {ProgramNode} from "./leaf/ProgramNode.sol";

/// @title The last move of a dispute
/// @notice Checks everything that is shown against what both sides agreed on before, and has the one element computed. It
/// knows nothing of games and money, and keeps nothing: `DisputeGame` hands every call on as it came, with the state that
/// it vouches for.
/// @dev `NotANumber` (of the evaluator) means that whatever the defender claims is wrong. Any other revert is a bad move.
contract DisputeJudge {
    using ProgramNode for bytes;

    /// @dev The line of the data's tensor that claims tokens: SHA-256("data/claimed").
    bytes32 private constant CLAIMED_LINE = 0xfd9e8134c15ac43cbfeb07e96b872240bfadfb7f2ea4750ea9337c26c2994997;
    bytes32 private constant TOKENS = keccak256("tokens");
    /// @dev Where `claimed` has it, nothing was claimed: a token after a rollout's last.
    uint32 private constant NO_CLAIM = type(uint32).max;

    /// @dev What is computed, and which elements are read for it: of every row, or of one input.
    struct Scope {
        Reads.Task task;
        uint256 first;
        uint256 count;
    }

    /// @notice What computes elements.
    LeafEvaluator public immutable EVALUATOR;

    constructor(LeafEvaluator evaluator) {
        EVALUATOR = evaluator;
    }

    /// @notice Whether the element, or a part of its fold, is what the defender said.
    function leaf(bytes32, State calldata state, ShownLeaf calldata shown) external view returns (bool) {
        bytes calldata node = shown.node;
        _requireNode(state, node);
        if (node.kind() < Kinds.CONST) revert BadOpening(Piece.Node);
        if (shown.inputs.length != node.numInputs()) revert Unfit();
        if (state.partsHash == 0) {
            bytes[] memory read = _read(state, shown, Scope(Reads.Task.Element, 0, state.length));
            return EVALUATOR.evaluate(node, state.element, read) == state.claimed;
        }
        if (keccak256(abi.encode(shown.parts)) != state.partsHash) revert BadOpening(Piece.Parts);
        return shown.part < shown.parts.length ? _isPart(state, shown) : _isFinished(state, shown);
    }

    /// @notice Whether an element of the state before is what the defender said.
    function leafState(bytes32, State calldata state, bytes calldata node, ShownElement calldata shown)
        external
        pure
        returns (bool)
    {
        _requireKind(state, node, Kinds.STATE);
        return Openings.ofState(state.stateBefore, _key(node), state.element, node.outputElements(), shown)
            == state.claimed;
    }

    /// @notice Whether the step count of the state before is what the defender said.
    function leafStep(bytes32, State calldata state, bytes calldata node, ShownStep calldata shown)
        external
        pure
        returns (bool)
    {
        _requireKind(state, node, Kinds.STEP);
        return Openings.ofStep(state.stateBefore, shown) == state.claimed;
    }

    /// @notice Whether an element of the step's data is what the defender said.
    function leafData(bytes32, State calldata state, bytes calldata node, ShownPiece calldata shown)
        external
        pure
        returns (bool)
    {
        _requireKind(state, node, Kinds.DATA);
        uint256 size = state.elementSize;
        return Openings.ofData(state.dataRoot, _key(node), state.outputBytes, state.element, size, shown)
            == state.claimed;
    }

    /// @notice Reverts unless an element of a result is another one in the trace than in the state after.
    function showResult(bytes32, State calldata state, ShownResult calldata result, ShownElement calldata claimed)
        external
        pure
        returns (bool)
    {
        if (!state.isStep) revert BadOpening(Piece.Claim);
        bytes32 key = sha256(bytes(result.name));
        (uint32 traced,) = _traced(state, result, key);
        uint256 numElements = result.node.encoded.outputElements();
        if (traced == Openings.ofState(state.stateAfter, key, result.element, numElements, claimed)) {
            revert NothingShown();
        }
        return false;
    }

    /// @notice Reverts unless a token is another one in the trace than what was claimed.
    function showToken(bytes32, State calldata state, ShownResult calldata result, ShownPiece calldata claimed)
        external
        pure
        returns (bool)
    {
        if (state.isStep || keccak256(bytes(result.name)) != TOKENS) revert BadOpening(Piece.Claim);
        (uint32 traced, uint256 size) = _traced(state, result, sha256(bytes(result.name)));
        uint256 total = size * result.node.encoded.outputElements();
        uint32 token = Openings.ofData(state.dataRoot, CLAIMED_LINE, total, result.element, size, claimed);
        if (token == traced || token == NO_CLAIM) revert NothingShown();
        return false;
    }

    /// @notice Reverts unless the step count of the state after is another one than the program makes of that before.
    function showStep(
        bytes32,
        State calldata state,
        uint256 numUpdates,
        bytes32[] calldata lineProof,
        ShownStep calldata before,
        ShownStep calldata afterwards
    ) external pure returns (bool) {
        if (!state.isStep) revert BadOpening(Piece.Claim);
        Openings.requireLine(state.outputsRoot, Openings.STEP_LINE, numUpdates, lineProof, Piece.Result);
        uint256 wanted = Openings.ofStep(state.stateBefore, before) + numUpdates;
        if (Openings.ofStep(state.stateAfter, afterwards) == wanted) revert NothingShown();
        return false;
    }

    function _isFinished(State calldata state, ShownLeaf calldata shown) private view returns (bool) {
        if (shown.part > shown.parts.length || state.isInner) revert Unfit();
        bytes[] memory read = _read(state, shown, Scope(Reads.Task.Finish, 0, 0));
        return EVALUATOR.finish(shown.node, state.element, shown.parts[shown.part - 1], read) == state.claimed;
    }

    function _isPart(State calldata state, ShownLeaf calldata shown) private view returns (bool) {
        (, uint256 size) = Reads.ranges(state.last - state.first);
        uint256 first = state.first + shown.part * size;
        uint256 count = first + size < state.last ? size : state.last - first;
        if (count > PART) revert Unfit();
        bytes[] memory read = _read(state, shown, Scope(Reads.Task.Fold, first, count));
        int256 start = shown.part == 0 ? state.before : shown.parts[shown.part - 1];
        return EVALUATOR.fold(shown.node, state.element, first, start, read) == shown.parts[shown.part];
    }

    /// @dev The bytes of every input that is read. Inputs come in order, but what a gathering node gathers from comes last,
    /// because the others say where it lies.
    function _read(State calldata state, ShownLeaf calldata shown, Scope memory scope)
        private
        view
        returns (bytes[] memory read)
    {
        bytes calldata node = shown.node;
        read = new bytes[](shown.inputs.length);
        bool isGather = node.kind() == Kinds.GATHER;
        for (uint256 i = isGather ? 1 : 0; i < read.length; ++i) {
            read[i] = _input(state, node, i, shown.inputs[i], scope);
        }
        if (!isGather) return read;
        bytes[] memory indices = new bytes[](read.length - 1);
        for (uint256 i = 1; i < read.length; ++i) {
            indices[i - 1] = read[i];
        }
        (, uint256 position) = EVALUATOR.source(node, state.element, 0, indices);
        read[0] = _elements(state, node, 0, shown.inputs[0], Scope(scope.task, position, 1));
    }

    /// @dev What the leaf reads of input `i`; nothing, if nothing is shown, where it reads none of it.
    function _input(
        State calldata state,
        bytes calldata node,
        uint256 i,
        ShownPiece calldata shown,
        Scope memory scope
    ) private pure returns (bytes calldata) {
        uint256 kind = node.kind();
        bool isRead = Reads.isNeeded(kind, i, scope.task);
        uint256 position;
        if (isRead) (isRead, position) = _source(node, state.element, i);
        if (!isRead) {
            if (shown.raw.length != 0) revert BadOpening(Piece.Output);
            return shown.raw;
        }
        Scope memory own = Scope(scope.task, position, 1);
        if (Reads.isRow(kind, i)) (own.first, own.count) = (position + scope.first, scope.count);
        return _elements(state, node, i, shown, own);
    }

    /// @dev Elements of input `i`, out of the defender's trace.
    function _elements(
        State calldata state,
        bytes calldata node,
        uint256 i,
        ShownPiece calldata shown,
        Scope memory scope
    ) private pure returns (bytes calldata) {
        uint256 size = Reads.sizeOf(node, i);
        uint256 total = node.numElements(i) * size;
        if ((scope.first + scope.count) * size > total) revert BadOpening(Piece.Output);
        return Openings.cut(
            Openings.outputOf(state, node.inputNode(i), total, shown), scope.first * size, scope.count * size
        );
    }

    /// @dev Of an input whose place does not depend on others.
    function _source(bytes calldata node, uint256 element, uint256 input) private pure returns (bool, uint256) {
        bytes[] calldata none;
        assembly ("memory-safe") {
            none.offset := 0
            none.length := 0
        }
        return Moves.source(node, node.coordinates(element), input, none);
    }

    /// @dev A result's element in the trace, and the bytes of one element.
    function _traced(State calldata state, ShownResult calldata result, bytes32 key)
        private
        pure
        returns (uint32, uint256 size)
    {
        Openings.requireLine(state.outputsRoot, key, result.number, result.lineProof, Piece.Result);
        Openings.requireNode(state.nodesRoot, state.numNodes, result.number, result.node);
        bytes calldata node = result.node.encoded;
        node.check();
        size = node.elementSize();
        uint256 total = node.outputElements() * size;
        if (result.element >= total / size) revert Unfit();
        ShownPiece calldata output = Openings.outputOf(state, result.number, total, result.traced);
        return (Elements.raw(Openings.cut(output, result.element * size, size), size), size);
    }

    function _requireNode(State calldata state, bytes calldata node) private pure {
        if (keccak256(node) != state.nodeHash) revert BadOpening(Piece.Node);
        node.check();
    }

    function _requireKind(State calldata state, bytes calldata node, uint256 kind) private pure {
        _requireNode(state, node);
        if (node.kind() != kind) revert BadOpening(Piece.Node);
    }

    /// @dev The line that a node of the state or the data reads: its eight attributes, which are its last bytes.
    function _key(bytes calldata node) private pure returns (bytes32) {
        return bytes32(node[node.length - 32:]);
    }
}
