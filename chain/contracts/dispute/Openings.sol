// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Elements} from "../leaf/Elements.sol";
import {BadOpening, CHUNK_BYTES, Piece, ShownElement, ShownNode, ShownPiece, ShownStep, State} from "./GameTypes.sol";
import {PositionTree} from "./PositionTree.sol";

/// @title Pieces shown against what was agreed on before
/// @notice `verde/bisect/openings.py`, in the same order. Everything reverts with `BadOpening` for what is not part of its
/// root.
library Openings {
    /// @dev Bytes of a state's chunk and of one of its pieces, and the levels between them: `verde/pieces.py`.
    uint256 private constant STATE_CHUNK_BYTES = 65_536;
    uint256 private constant PIECE_BYTES = 2048;
    uint256 private constant PIECE_LEVELS = 5;
    uint256 private constant MAX_PROOF_LENGTH = 64;
    /// @dev SHA-256("step").
    bytes32 internal constant STEP_LINE = 0x3e64cc41cf8e07b43936d7bc4eaf8bdb8e2abcec1f44c7b915ac0a0c27ebc41a;

    /// @notice Reverts unless these bytes are node `number` of the program.
    function requireNode(bytes32 nodesRoot, uint256 numNodes, uint256 number, ShownNode calldata shown) internal pure {
        (bool isFit, bytes32 root) = PositionTree.rootOf(
            numNodes, number, keccak256(shown.encoded), shown.proof, PositionTree.depthOf(numNodes)
        );
        if (!isFit || root != nodesRoot) revert BadOpening(Piece.Node);
    }

    /// @notice The piece, which must be one of node `number`'s output, of `total` bytes, in the trace.
    function outputOf(State calldata state, uint256 number, uint256 total, ShownPiece calldata shown)
        internal
        pure
        returns (ShownPiece calldata)
    {
        bytes32 tensor = tensorRoot(shown, total, Piece.Output);
        uint256 depth = PositionTree.depthOf(state.numNodes);
        (bool isFit, bytes32 root) = PositionTree.rootOf(state.numNodes, number, tensor, shown.place, depth);
        if (!isFit || root != state.traceRoot) revert BadOpening(Piece.Output);
        return shown;
    }

    /// @notice Bytes `begin` to `begin + size` of the tensor, where the piece holds them all.
    function cut(ShownPiece calldata shown, uint256 begin, uint256 size) internal pure returns (bytes calldata) {
        uint256 start = shown.firstChunk * CHUNK_BYTES;
        if (begin < start || begin + size > start + shown.raw.length) revert BadOpening(Piece.Output);
        return shown.raw[begin - start:begin - start + size];
    }

    /// @notice Element `element` of the data's tensor whose line is `key`, which has `total` bytes.
    function ofData(
        bytes32 dataRoot,
        bytes32 key,
        uint256 total,
        uint256 element,
        uint256 elementSize,
        ShownPiece calldata shown
    ) internal pure returns (uint32) {
        requireLine(dataRoot, key, uint256(tensorRoot(shown, total, Piece.Data)), shown.place, Piece.Data);
        return Elements.raw(cut(shown, element * elementSize, elementSize), elementSize);
    }

    /// @notice Element `element` of the state's tensor whose line is `key`, which has `numElements`.
    function ofState(
        bytes32 stateRoot,
        bytes32 key,
        uint256 element,
        uint256 numElements,
        ShownElement calldata shown
    ) internal pure returns (uint32) {
        bool isIt = sha256(bytes.concat("tensor/", bytes(shown.name))) == key && shown.index == element
            && shown.numElements == numElements && element < numElements;
        if (!isIt || shown.start >> 62 != 0) revert BadOpening(Piece.State);
        requireLine(stateRoot, key, shown.start << 128 | numElements, shown.tensorProof, Piece.State);
        uint256 place = shown.start + 4 * element;
        bytes32 pieces = _piecesRoot(shown, place % STATE_CHUNK_BYTES / PIECE_BYTES);
        bytes32 chunk = sha256(bytes.concat(shown.chunk, pieces));
        requireLine(stateRoot, bytes32(1 + place / STATE_CHUNK_BYTES), uint256(chunk), shown.chunkProof, Piece.State);
        place %= PIECE_BYTES;
        if (place + 4 > shown.piece.length) revert BadOpening(Piece.State);
        return Elements.word(shown.piece[place:place + 4]);
    }

    /// @notice The state's step count.
    function ofStep(bytes32 stateRoot, ShownStep calldata shown) internal pure returns (uint256) {
        if (shown.step >> 31 != 0) revert BadOpening(Piece.Step);
        requireLine(stateRoot, STEP_LINE, shown.step, shown.proof, Piece.Step);
        return shown.step;
    }

    /// @notice Reverts unless the line (key, value) is in the list behind `root` (`protocol/merkle.py`).
    function requireLine(bytes32 root, bytes32 key, uint256 value, bytes32[] calldata proof, Piece piece) internal pure {
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(key, value))));
        if (proof.length > MAX_PROOF_LENGTH || !MerkleProof.verifyCalldata(proof, root, leaf)) revert BadOpening(piece);
    }

    /// @notice The root of the tensor of `total` bytes that a piece belongs to.
    function tensorRoot(ShownPiece calldata shown, uint256 total, Piece piece) internal pure returns (bytes32 root) {
        bytes calldata raw = shown.raw;
        uint256 chunks = (total + CHUNK_BYTES - 1) / CHUNK_BYTES;
        if (raw.length == 0 || shown.firstChunk >= chunks) revert BadOpening(piece);
        uint256 end = shown.firstChunk * CHUNK_BYTES + raw.length;
        if (end > total || (end != total && end % CHUNK_BYTES != 0)) revert BadOpening(piece);
        bytes32[] memory leaves = new bytes32[]((raw.length + CHUNK_BYTES - 1) / CHUNK_BYTES);
        for (uint256 i = 0; i < leaves.length; ++i) {
            uint256 from = i * CHUNK_BYTES;
            uint256 to = from + CHUNK_BYTES < raw.length ? from + CHUNK_BYTES : raw.length;
            leaves[i] = keccak256(raw[from:to]);
        }
        bool isFit;
        (isFit, root) =
            PositionTree.rootOf(chunks, shown.firstChunk, leaves, shown.proof, PositionTree.depthOf(chunks));
        if (!isFit) revert BadOpening(piece);
    }

    function _piecesRoot(ShownElement calldata shown, uint256 number) private pure returns (bytes32 node) {
        if (shown.pieceProof.length != PIECE_LEVELS || shown.piece.length > PIECE_BYTES) revert BadOpening(Piece.State);
        node = sha256(shown.piece);
        for (uint256 level = 0; level < PIECE_LEVELS; ++level) {
            bytes32 sibling = shown.pieceProof[level];
            node = number >> level & 1 == 1
                ? sha256(bytes.concat(sibling, node))
                : sha256(bytes.concat(node, sibling));
        }
    }
}
