// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @notice What a game waits for. The defender moves at Trace, Reveal, Chunk and Parts, the challenger at the others.
enum Phase {
    Trace,
    Pick,
    Reveal,
    Chunk,
    Element,
    Parts,
    Leaf,
    Over
}

/// @notice Kinds of moves.
enum Move {
    PostTrace,
    ShowResult,
    ShowStep,
    Pick,
    Reveal,
    RevealChunk,
    PickElement,
    RevealParts,
    PickPart,
    Leaf
}

/// @notice What a piece that was shown is not part of.
enum Piece {
    Contribution,
    Draws,
    Program,
    Hashes,
    Node,
    Chunk,
    Parts,
    Output,
    Result,
    State,
    Step,
    Data,
    Claim
}

/// @notice A game as it stands. The chain keeps its hash; whoever moves shows it.
/// @dev All words, so that the hash has one form. `verde/bisect/game.py` explains what each is for.
/// @param peerKey The accused.
/// @param isStep Whether a whole step is disputed; otherwise one draw.
/// @param level Of the tree that is searched: how far above the leaves `current` stands; `index`: its place there.
/// @param nodeHash The node whose output was found; 0 before.
/// @param outputBytes That output's size; `elementSize`: of one element; `length`: terms of each if it reduces.
/// @param element The output's element that was picked, and `claimed` its bits, as the defender has them.
/// @param first The terms `first` to `last` - 1 are searched; `before`: the fold's value before them, `afterwards`: the
/// revealed one behind them, where `isInner` says that there is one.
/// @param partsHash Of the values revealed last; 0 where there are none.
struct State {
    bytes32 peerKey;
    address challenger;
    uint256 round;
    bytes32 content;
    bool isStep;
    bytes32 programRoot;
    bytes32 dataRoot;
    bytes32 stateBefore;
    bytes32 stateAfter;
    bytes32 traceRoot;
    bytes32 nodesRoot;
    bytes32 outputsRoot;
    uint256 numNodes;
    bytes32 current;
    uint256 level;
    uint256 index;
    bytes32 nodeHash;
    uint256 number;
    uint256 outputBytes;
    uint256 elementSize;
    uint256 length;
    uint256 element;
    uint256 claimed;
    uint256 first;
    uint256 last;
    int256 before;
    int256 afterwards;
    bool isInner;
    bytes32 partsHash;
}

/// @notice What a contribution's last field is the SHA-256 of.
struct Work {
    bytes32 stateBefore;
    bytes32 stateAfter;
    bytes32 stepProgram;
    bytes32 stepData;
    bytes32 draws;
}

/// @notice What a game is about: the whole step (index -1), or the draw of this index with its program and data, and its
/// line's siblings in the contribution's tree of draws.
struct Subject {
    int256 index;
    bytes32 program;
    bytes32 data;
    bytes32[] proof;
}

/// @notice A node's bytes and its place in the program.
struct ShownNode {
    bytes encoded;
    bytes32[] proof;
}

/// @notice Chunks of a tensor side by side, what its tree needs besides them, and the tensor's place: in the trace, or
/// among the lines of the data. No bytes: it is not read.
struct ShownPiece {
    uint256 firstChunk;
    bytes raw;
    bytes32[] proof;
    bytes32[] place;
}

/// @notice What an element depends on. `part`: which part's value is wrong, as many as there are where the element does not
/// follow from the whole fold; `parts`: the values that were revealed last; one input for each of the node's.
struct ShownLeaf {
    bytes node;
    uint256 part;
    int256[] parts;
    ShownPiece[] inputs;
}

/// @notice One element of a state (`verde/commit.py`).
struct ShownElement {
    string name;
    uint256 index;
    uint256 start;
    uint256 numElements;
    bytes piece;
    bytes32[] pieceProof;
    bytes32 chunk;
    bytes32[] chunkProof;
    bytes32[] tensorProof;
}

/// @notice A state's step count and its line's siblings.
struct ShownStep {
    uint256 step;
    bytes32[] proof;
}

/// @notice A result's name, the node that computes it, and the line that says so; its element in the trace.
struct ShownResult {
    string name;
    uint256 number;
    bytes32[] lineProof;
    ShownNode node;
    uint256 element;
    ShownPiece traced;
}

/// @notice A piece is not part of what its root stands for, or not the piece that is needed.
error BadOpening(Piece piece);
/// @notice A number or list has another size than the program says.
error Unfit();
/// @notice The result is what was claimed.
error NothingShown();
/// @notice What a trace ends in is compared before the search begins.
error SearchBegun();

/// @dev Levels of a tree that one exchange descends.
uint256 constant STEP_LEVELS = 6;
/// @dev Values of a fold that one move reveals.
uint256 constant MOST_PARTS = 64;
/// @dev Terms of a reduction that one leaf may have.
uint256 constant PART = 1024;
/// @dev Bytes of one leaf of a tensor's tree.
uint256 constant CHUNK_BYTES = 256;
