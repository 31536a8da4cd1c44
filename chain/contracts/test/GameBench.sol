// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {DisputeGame} from "../DisputeGame.sol";
import {
    Phase,
    ShownElement,
    ShownLeaf,
    ShownNode,
    ShownPiece,
    ShownStep,
    State,
    Subject,
    Work
} from "../dispute/GameTypes.sol";
import {Kinds} from "../leaf/Kinds.sol";
import {Signature} from "../RunTypes.sol";
import {Bench} from "./Bench.sol";

/// @dev Games about a program of two nodes: two numbers of the data, and each of them doubled. `pick`, `reveal` and the
/// rest keep the state as a player does; every move takes what it needs from there.
abstract contract GameBench is Bench {
    /// @dev A game as both sides know it. `honest`: whether the defender's trace is right.
    struct Table {
        bytes32 id;
        State state;
        Player accused;
        address challenger;
        bool honest;
        bytes32[2] children;
    }

    bytes32 internal constant FORMAT = keccak256("verde/program/1");
    bytes32 internal constant OUTPUTS = keccak256("outputs");
    bytes32 internal constant KEY = keccak256("data/x");
    /// @dev 1.5 and 2.0, doubled right and wrong.
    bytes internal constant DATA = hex"0000c03f00000040";
    bytes internal constant RIGHT = hex"0000404000008040";
    bytes internal constant WRONG = hex"0000404001008040";

    /// @dev Called right after each move.
    function _made(string memory move) internal virtual {}

    function _dataNode() internal pure returns (bytes memory) {
        bytes memory head = abi.encodePacked(uint8(Kinds.DATA), uint8(0), uint8(1), uint8(0), uint16(8), uint32(0));
        return bytes.concat(head, abi.encodePacked(uint32(2)), KEY);
    }

    function _sumNode() internal pure returns (bytes memory) {
        bytes memory head = abi.encodePacked(uint8(Kinds.ADD), uint8(0), uint8(1), uint8(2), uint16(0), uint32(0));
        bytes memory input = abi.encodePacked(uint32(0), uint32(2), int64(0), int32(1));
        return bytes.concat(head, abi.encodePacked(uint32(2)), input, input);
    }

    function _nodesRoot() internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(_dataNode()), keccak256(_sumNode())));
    }

    function _program() internal pure returns (bytes32) {
        return keccak256(abi.encode(FORMAT, uint256(2), _nodesRoot(), OUTPUTS));
    }

    /// @dev The root of a list of one line.
    function _line(bytes32 key, bytes32 value) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(key, value))));
    }

    function _work() internal pure returns (Work memory) {
        return Work({
            stateBefore: keccak256("before"),
            stateAfter: keccak256("after"),
            stepProgram: _program(),
            stepData: _line(KEY, keccak256(DATA)),
            draws: _line(bytes32(uint256(7)), sha256(abi.encode(keccak256("program"), keccak256("data"))))
        });
    }

    function _contribution(uint256 number, Work memory work) internal pure returns (bytes memory) {
        return abi.encodePacked("contribution", number, hex"c420", sha256(abi.encode(work)));
    }

    function _wholeStep() internal pure returns (Subject memory subject) {
        subject.index = -1;
    }

    function _signature(Player memory accused, uint64 round, bytes memory contribution)
        internal
        view
        returns (Signature memory)
    {
        return _sign(accused.secret, registry.recordDigest(RUN_ID, "contribution", round, sha256(contribution)));
    }

    /// @dev Open a game about the whole step of contribution `number` to round 1, as `challenger`, who has the bond.
    function _open(Player memory accused, uint256 number, address challenger, bool honest)
        internal
        returns (Table memory table)
    {
        return _openIn(accused, 1, number, challenger, honest);
    }

    function _openIn(Player memory accused, uint64 round, uint256 number, address challenger, bool honest)
        internal
        returns (Table memory table)
    {
        bytes memory contribution = _contribution(number, _work());
        Signature memory signature = _signature(accused, round, contribution);
        vm.startPrank(challenger);
        token.approve(address(vault), 5 ether);
        table.id = disputes.open(accused.peerKey, round, contribution, signature, _work(), _wholeStep());
        _made("disputeOpen");
        vm.stopPrank();
        (table.accused, table.challenger, table.honest) = (accused, challenger, honest);
        State memory state = table.state;
        (state.peerKey, state.challenger, state.round) = (accused.peerKey, challenger, round);
        state.content = sha256(contribution);
        state.isStep = true;
        (state.stateBefore, state.stateAfter) = (keccak256("before"), keccak256("after"));
        (state.programRoot, state.dataRoot) = (_program(), _work().stepData);
        _requireSame(table);
    }

    function _requireSame(Table memory table) internal view {
        require(disputes.stateHash(table.id) == keccak256(abi.encode(table.state)), "another state");
    }

    function _list(bytes32 a, bytes32 b) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](2);
        (list[0], list[1]) = (a, b);
    }

    function _one(bytes32 a) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](1);
        list[0] = a;
    }

    function _postTrace(Table memory table) internal {
        table.children = [keccak256(DATA), keccak256(table.honest ? RIGHT : WRONG)];
        bytes32[] memory children = _list(table.children[0], table.children[1]);
        bytes32 root = keccak256(bytes.concat(children[0], children[1]));
        vm.prank(table.accused.wallet);
        disputes.postTrace(table.id, table.state, root, 2, _nodesRoot(), OUTPUTS, children);
        _made("disputePostTrace");
        State memory state = table.state;
        (state.traceRoot, state.numNodes, state.nodesRoot, state.outputsRoot) = (root, 2, _nodesRoot(), OUTPUTS);
        (state.current, state.level) = (root, 1);
        _requireSame(table);
    }

    function _pick(Table memory table, uint256 child) internal {
        bytes memory node = child == 0 ? _dataNode() : _sumNode();
        bytes32 other = keccak256(child == 0 ? _sumNode() : _dataNode());
        vm.prank(table.challenger);
        disputes.pick(
            table.id,
            table.state,
            child,
            table.children[child],
            _one(table.children[1 - child]),
            ShownNode(node, _one(other))
        );
        _made("disputePick");
        State memory state = table.state;
        (state.current, state.level, state.nodeHash) = (table.children[child], 0, keccak256(node));
        (state.number, state.outputBytes, state.elementSize) = (child, 8, 4);
        _requireSame(table);
    }

    function _revealChunk(Table memory table) internal {
        bytes memory raw = table.state.number == 0 ? DATA : table.honest ? RIGHT : WRONG;
        vm.prank(table.accused.wallet);
        disputes.revealChunk(table.id, table.state, raw);
        _made("disputeRevealChunk");
        _requireSame(table);
    }

    function _pickElement(Table memory table) internal {
        bytes memory raw = table.state.number == 0 ? DATA : table.honest ? RIGHT : WRONG;
        vm.prank(table.challenger);
        disputes.pickElement(table.id, table.state, 1, raw);
        _made("disputePickElement");
        table.state.element = 1;
        table.state.claimed = table.state.number == 0 ? 0x40000000 : table.honest ? 0x40800000 : 0x40800001;
        _requireSame(table);
    }

    function _piece(Table memory table) internal pure returns (ShownPiece memory) {
        return ShownPiece(0, DATA, new bytes32[](0), _one(table.children[1]));
    }

    function _shownData() internal pure returns (ShownPiece memory) {
        return ShownPiece(0, DATA, new bytes32[](0), new bytes32[](0));
    }

    /// @dev What both inputs of the doubling read.
    function _leafOf(Table memory table) internal pure returns (ShownLeaf memory shown) {
        shown.node = _sumNode();
        shown.inputs = new ShownPiece[](2);
        (shown.inputs[0], shown.inputs[1]) = (_piece(table), _piece(table));
    }

    function _leaf(Table memory table) internal {
        vm.prank(table.challenger);
        disputes.leaf(table.id, table.state, _leafOf(table));
        _made("disputeLeaf");
    }

    /// @dev All moves up to the leaf, which is not made.
    function _playToLeaf(Table memory table) internal {
        _postTrace(table);
        _pick(table, 1);
        _revealChunk(table);
        _pickElement(table);
    }

    function _phase(Table memory table) internal view returns (Phase) {
        return disputes.status(table.id).phase;
    }

    function _isOver(Table memory table, bool challengerWon) internal view returns (bool) {
        DisputeGame.Status memory status = disputes.status(table.id);
        return status.isDecided && status.challengerWon == challengerWon && disputes.stateHash(table.id) == 0;
    }

    function _noStep() internal pure returns (ShownStep memory shown) {}

    function _noElement() internal pure returns (ShownElement memory shown) {}
}
