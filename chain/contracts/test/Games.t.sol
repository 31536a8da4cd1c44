// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {DisputeGame} from "../DisputeGame.sol";
import {
    BadOpening,
    Phase,
    SearchBegun,
    ShownLeaf,
    ShownNode,
    ShownPiece,
    ShownResult,
    Subject,
    Unfit,
    Work
} from "../dispute/GameTypes.sol";
import {MalformedLeaf} from "../leaf/Refusal.sol";
import {Signature} from "../RunTypes.sol";
import {Settlement} from "../Settlement.sol";
import {StakeVault} from "../StakeVault.sol";
import {GameBench} from "./GameBench.sol";

/// @dev Money, deadlines and refusals. That every move does what `verde/bisect/game.py` does is tested from Python.
contract GamesTest is GameBench {
    address private constant FINDER = address(0xF1D);
    Player[] private players;

    function setUp() public override {
        super.setUp();
        Player[] memory joined = _join(0, 3, 2);
        for (uint256 i = 0; i < 3; ++i) {
            players.push(joined[i]);
        }
        token.transfer(FINDER, 100 ether);
    }

    function test_aLieIsComputedAndCostsThePeerItsStakeItsPlaceAndItsPay() public {
        Table memory table = _open(players[0], 1, FINDER, false);
        _equal(token.balanceOf(FINDER), 95 ether);
        _playToLeaf(table);
        _leaf(table);
        require(_isOver(table, true), "not convicted");
        (uint256 activeWei, uint256 exitingWei,) = vault.stakeOf(players[0].peerKey);
        _equal(activeWei + exitingWei, 0);
        _equal(token.balanceOf(FINDER), 110 ether);
        _equal(token.totalSupply(), SUPPLY_WEI - 10 ether);
        _equal(clock.weightOf(players[0].peerKey, clock.round() + 1), 0);
        (uint256 holds, uint64 struck) = settlement.pending(players[0].peerKey);
        require(holds == 0 && struck == 1 && vault.holdsOf(players[0].peerKey) == 0);
        _equal(clock.standing(players[0].peerKey).barredUntilRound, clock.round() + 5);
    }

    function test_aFalseAccusationCostsTheBond() public {
        Table memory table = _open(players[0], 1, FINDER, true);
        _playToLeaf(table);
        _leaf(table);
        require(_isOver(table, false), "convicted");
        _equal(token.balanceOf(FINDER), 95 ether);
        _equal(token.balanceOf(players[0].wallet), 2.5 ether);
        _equal(token.totalSupply(), SUPPLY_WEI - 2.5 ether);
        _equal(token.balanceOf(address(vault)), 60 ether);
        (uint256 activeWei,,) = vault.stakeOf(players[0].peerKey);
        _equal(activeWei, 20 ether);
        require(clock.weightOf(players[0].peerKey, clock.round() + 1) == 2);
    }

    function test_theDataThatAnElementComesFromDecides() public {
        Table memory table = _open(players[0], 1, FINDER, true);
        _postTrace(table);
        _pick(table, 0);
        _revealChunk(table);
        _pickElement(table);
        vm.startPrank(FINDER);
        _refused(BadOpening.selector);
        disputes.leafStep(table.id, table.state, _dataNode(), _noStep());
        _refused(BadOpening.selector);
        disputes.leafState(table.id, table.state, _dataNode(), _noElement());
        ShownPiece memory shown = ShownPiece(0, WRONG, new bytes32[](0), new bytes32[](0));
        _refused(BadOpening.selector);
        disputes.leafData(table.id, table.state, _dataNode(), shown);
        shown.raw = DATA;
        disputes.leafData(table.id, table.state, _dataNode(), shown);
        vm.stopPrank();
        require(_isOver(table, false), "convicted");
    }

    /// forge-config: default.fuzz.runs = 20
    function test_whoeverMissesADeadlineLoses(uint8 moves) public {
        moves = moves % 5;
        Table memory table = _open(players[0], 1, FINDER, false);
        if (moves > 0) _postTrace(table);
        if (moves > 1) _pick(table, 1);
        if (moves > 2) _revealChunk(table);
        if (moves > 3) _pickElement(table);
        bool isDefenders = moves == 0 || moves == 2;
        _pass(moves == 0 ? 300 : 100);
        _refused(DisputeGame.TooEarly.selector);
        disputes.expire(table.id, table.state);
        _pass(1);
        _refused(DisputeGame.TooLate.selector);
        vm.prank(isDefenders ? players[0].wallet : FINDER);
        if (moves == 0) disputes.postTrace(table.id, table.state, 0, 2, 0, 0, new bytes32[](2));
        if (moves == 1) disputes.pick(table.id, table.state, 0, 0, new bytes32[](0), ShownNode("", new bytes32[](0)));
        if (moves == 2) disputes.revealChunk(table.id, table.state, WRONG);
        if (moves == 3) disputes.pickElement(table.id, table.state, 0, WRONG);
        if (moves == 4) disputes.leaf(table.id, table.state, _leafOf(table));
        vm.prank(STRANGER);
        disputes.expire(table.id, table.state);
        require(_isOver(table, isDefenders));
        _equal(token.balanceOf(FINDER), isDefenders ? 110 ether : 95 ether);
        _refused(DisputeGame.DisputeOver.selector);
        disputes.expire(table.id, table.state);
        _refused(DisputeGame.DisputeOver.selector);
        disputes.reveal(table.id, table.state, new bytes32[](2));
    }

    function test_onlyWhoseTurnItIsMakesTheMoveThatIsWaitedForInTheStateThatItIs() public {
        Table memory table = _open(players[0], 1, FINDER, false);
        vm.startPrank(FINDER);
        _refused(DisputeGame.NotYourTurn.selector);
        disputes.postTrace(table.id, table.state, 0, 2, 0, 0, new bytes32[](2));
        _refused(DisputeGame.WrongMove.selector);
        disputes.pick(table.id, table.state, 0, 0, new bytes32[](0), ShownNode("", new bytes32[](0)));
        _refused(DisputeGame.DisputeUnknown.selector);
        disputes.pick(0, table.state, 0, 0, new bytes32[](0), ShownNode("", new bytes32[](0)));
        vm.stopPrank();
        Table memory before = abi.decode(abi.encode(table), (Table));
        _postTrace(table);
        vm.prank(FINDER);
        _refused(DisputeGame.StateStale.selector);
        disputes.pick(table.id, before.state, 0, 0, new bytes32[](0), ShownNode("", new bytes32[](0)));
        vm.prank(players[1].wallet);
        _refused(DisputeGame.NotYourTurn.selector);
        disputes.pick(table.id, table.state, 0, 0, new bytes32[](0), ShownNode("", new bytes32[](0)));
        _refused(DisputeGame.WrongMove.selector);
        vm.prank(players[0].wallet);
        disputes.postTrace(table.id, table.state, 0, 2, 0, 0, new bytes32[](2));
    }

    function test_movesThatDoNotFitAreRefused() public {
        Table memory table = _open(players[0], 1, FINDER, false);
        vm.startPrank(players[0].wallet);
        _refused(BadOpening.selector);
        disputes.postTrace(table.id, table.state, 0, 3, _nodesRoot(), OUTPUTS, new bytes32[](2));
        _refused(BadOpening.selector);
        disputes.postTrace(table.id, table.state, 0, 2, _nodesRoot(), OUTPUTS, new bytes32[](2));
        _refused(Unfit.selector);
        disputes.postTrace(table.id, table.state, 0, 2, _nodesRoot(), OUTPUTS, new bytes32[](3));
        vm.stopPrank();
        _postTrace(table);
        vm.startPrank(FINDER);
        ShownNode memory node = ShownNode(_sumNode(), _one(keccak256(_dataNode())));
        _refused(Unfit.selector);
        disputes.pick(table.id, table.state, 2, 0, new bytes32[](0), node);
        _refused(BadOpening.selector);
        disputes.pick(table.id, table.state, 1, table.children[0], _one(table.children[0]), node);
        _refused(BadOpening.selector);
        disputes.pick(table.id, table.state, 1, table.children[1], new bytes32[](0), node);
        node.encoded = _dataNode();
        _refused(BadOpening.selector);
        disputes.pick(table.id, table.state, 1, table.children[1], _one(table.children[0]), node);
        vm.stopPrank();
        _pick(table, 1);
        vm.prank(players[0].wallet);
        _refused(BadOpening.selector);
        disputes.revealChunk(table.id, table.state, RIGHT);
        _revealChunk(table);
        vm.startPrank(FINDER);
        _refused(Unfit.selector);
        disputes.pickElement(table.id, table.state, 2, WRONG);
        _refused(BadOpening.selector);
        disputes.pickElement(table.id, table.state, 1, RIGHT);
        vm.stopPrank();
        _pickElement(table);
        vm.startPrank(FINDER);
        ShownLeaf memory leaf = _leafOf(table);
        leaf.inputs[1].raw = "";
        _refused(BadOpening.selector);
        disputes.leaf(table.id, table.state, leaf);
        leaf.inputs = new ShownPiece[](1);
        _refused(Unfit.selector);
        disputes.leaf(table.id, table.state, leaf);
        ShownResult memory result;
        _refused(SearchBegun.selector);
        disputes.showResult(table.id, table.state, result, _noElement());
        vm.stopPrank();
        require(_phase(table) == Phase.Leaf);
    }

    /// @dev A program that nobody would record: its one node is no node. The challenger cannot go on, and loses nothing
    /// that a member would play for.
    function test_bytesThatAreNoNodeAreRefused() public {
        Work memory work = _work();
        bytes32 nodes = keccak256("no node");
        work.stepProgram = keccak256(abi.encode(FORMAT, uint256(1), nodes, OUTPUTS));
        bytes memory contribution = _contribution(1, work);
        Signature memory signature = _signature(players[0], 1, contribution);
        Table memory table;
        table.state.peerKey = players[0].peerKey;
        (table.state.challenger, table.state.round, table.state.isStep) = (FINDER, 1, true);
        (table.state.content, table.state.programRoot) = (sha256(contribution), work.stepProgram);
        (table.state.dataRoot, table.state.stateBefore) = (work.stepData, work.stateBefore);
        table.state.stateAfter = work.stateAfter;
        vm.startPrank(FINDER);
        token.approve(address(vault), 5 ether);
        table.id = disputes.open(players[0].peerKey, 1, contribution, signature, work, _wholeStep());
        vm.stopPrank();
        vm.prank(players[0].wallet);
        disputes.postTrace(table.id, table.state, keccak256("t"), 1, nodes, OUTPUTS, _one(keccak256("t")));
        (table.state.traceRoot, table.state.current) = (keccak256("t"), keccak256("t"));
        (table.state.numNodes, table.state.nodesRoot, table.state.outputsRoot) = (1, nodes, OUTPUTS);
        vm.prank(FINDER);
        _refused(MalformedLeaf.selector);
        disputes.pick(
            table.id, table.state, 0, keccak256("t"), new bytes32[](0), ShownNode("no node", new bytes32[](0))
        );
    }

    function test_onlySignedWorkIsDisputedAndOnlyOnceByEachAccuser() public {
        Work memory work = _work();
        bytes memory contribution = _contribution(1, work);
        Signature memory signature = _signature(players[0], 1, contribution);
        Table memory table = _open(players[0], 1, FINDER, false);
        vm.startPrank(FINDER);
        token.approve(address(vault), 50 ether);
        _refused(DisputeGame.DisputeExists.selector);
        disputes.open(players[0].peerKey, 1, contribution, signature, work, _wholeStep());
        contribution = _contribution(2, work);
        _refused(DisputeGame.NotSignedByPeer.selector);
        disputes.open(players[0].peerKey, 1, contribution, signature, work, _wholeStep());
        signature = _signature(players[0], 1, contribution);
        _refused(DisputeGame.NotSignedByPeer.selector);
        disputes.open(players[1].peerKey, 1, contribution, signature, work, _wholeStep());
        _refused(DisputeGame.NotSignedByPeer.selector);
        disputes.open(players[0].peerKey, 2, contribution, signature, work, _wholeStep());
        work.stateAfter = keccak256("another");
        _refused(BadOpening.selector);
        disputes.open(players[0].peerKey, 1, contribution, signature, work, _wholeStep());
        work = _work();
        contribution = abi.encodePacked("c", sha256(abi.encode(work)));
        _refused(BadOpening.selector);
        disputes.open(players[0].peerKey, 1, contribution, signature, work, _wholeStep());
        _refused(BadOpening.selector);
        disputes.open(players[0].peerKey, 1, "", signature, work, _wholeStep());
        vm.stopPrank();
        token.transfer(STRANGER, 5 ether);
        Table memory other = _open(players[0], 1, STRANGER, true);
        require(other.id != table.id);
        _equal(vault.holdsOf(players[0].peerKey), 2);
    }

    /// @dev Of no member is a game opened, and of no account that does not sign for the peer in that round.
    function test_aFormerAccountsWorkCannotBeDisputed() public {
        Player memory ada = players[0];
        _signFrom(ada, 4711);
        clock.refresh(ada.peerKey);
        _advance();
        Work memory work = _work();
        bytes memory contribution = _contribution(1, work);
        Signature memory signature = _signature(ada, 2, contribution);
        vm.startPrank(FINDER);
        token.approve(address(vault), 5 ether);
        _refused(DisputeGame.NotSignedByPeer.selector);
        disputes.open(ada.peerKey, 2, contribution, signature, work, _wholeStep());
        vm.stopPrank();
        ada.secret = 4711;
        _openIn(ada, 2, 1, FINDER, true);
    }

    function test_aStepWithoutAProgramCannotBeDisputed() public {
        Work memory work = _work();
        work.stepProgram = 0;
        bytes memory contribution = _contribution(1, work);
        Signature memory signature = _signature(players[0], 1, contribution);
        vm.startPrank(FINDER);
        token.approve(address(vault), 5 ether);
        _refused(BadOpening.selector);
        disputes.open(players[0].peerKey, 1, contribution, signature, work, _wholeStep());
        vm.stopPrank();
    }

    function test_aDrawIsShownAmongTheContributionsDraws() public {
        Work memory work = _work();
        bytes memory contribution = _contribution(1, work);
        Signature memory signature = _signature(players[0], 1, contribution);
        Subject memory draw = Subject(8, keccak256("program"), keccak256("data"), new bytes32[](0));
        vm.startPrank(FINDER);
        token.approve(address(vault), 5 ether);
        _refused(BadOpening.selector);
        disputes.open(players[0].peerKey, 1, contribution, signature, work, draw);
        draw.index = -2;
        _refused(BadOpening.selector);
        disputes.open(players[0].peerKey, 1, contribution, signature, work, draw);
        draw.index = 7;
        disputes.open(players[0].peerKey, 1, contribution, signature, work, draw);
        vm.stopPrank();
    }

    function test_whatIsPaidIsNotDisputed() public {
        uint256[] memory lines = _lines(3, CREDIT);
        _settle(players, lines);
        _settle(players, lines);
        settlement.openEpoch(); // of round 2
        Work memory work = _work(); // hashing is a call, too: all of it is done before the one that must fail
        bytes memory contribution = _contribution(1, work);
        Signature memory signature = _signature(players[0], 1, contribution);
        bytes memory later = _contribution(2, work);
        Signature memory laterSignature = _signature(players[0], 2, later);
        _pass(1499);
        _open(players[1], 3, FINDER, true);
        _pass(1);
        _refused(DisputeGame.RoundPaid.selector);
        disputes.open(players[0].peerKey, 1, contribution, signature, work, _wholeStep());
        vm.startPrank(FINDER);
        token.approve(address(vault), 5 ether);
        disputes.open(players[0].peerKey, 2, later, laterSignature, work, _wholeStep());
        vm.stopPrank();
    }

    function test_stakeThatWasLeavingStaysUntilTheGameIsDecided() public {
        vm.prank(players[0].wallet);
        vault.requestExit(players[0].peerKey, 20 ether, 0);
        Table memory table = _open(players[0], 1, FINDER, false);
        _pass(5000);
        _refused(StakeVault.DisputePending.selector);
        vault.withdraw(players[0].peerKey);
        disputes.expire(table.id, table.state);
        _equal(token.balanceOf(FINDER), 110 ether);
        _refused(StakeVault.StakeNotReady.selector);
        vault.withdraw(players[0].peerKey);
    }

    /// @dev The liar's friend convicts it of work for a round that never comes, to cover up for the real conviction.
    function test_aFriendsConvictionDoesNotSaveThePay() public {
        uint256[] memory lines = _lines(3, 10 * CREDIT);
        _settle(players, lines);
        _settle(players, lines);
        settlement.openEpoch(); // of round 2: credits round 1
        Table memory real = _open(players[0], 1, FINDER, false);
        token.transfer(STRANGER, 5 ether);
        Table memory friendly = _openIn(players[0], 1_000_000, 2, STRANGER, false);
        _pass(1500);
        disputes.expire(real.id, real.state);
        disputes.expire(friendly.id, friendly.state);
        require(_isOver(real, true) && _isOver(friendly, true));
        settlement.claim(players[0].peerKey, lines[0], 0, _proof(players, lines, 0));
        _equal(token.balanceOf(players[0].wallet), 0);
        _equal(settlement.claimedMicro(players[0].peerKey), 10 * CREDIT);
    }

    function test_gamesAboutOneContributionAreIndependent() public {
        token.transfer(STRANGER, 5 ether);
        Table memory friendly = _open(players[0], 1, STRANGER, false);
        Table memory real = _open(players[0], 1, FINDER, false);
        _postTrace(friendly);
        _pass(101);
        disputes.expire(friendly.id, friendly.state); // a friend lets it win
        require(_isOver(friendly, false));
        _playToLeaf(real);
        _leaf(real);
        require(_isOver(real, true));
        _equal(token.balanceOf(FINDER), 110 ether);
        (, uint64 struck) = settlement.pending(players[0].peerKey);
        _equal(struck, 1);
    }

    function test_whoOwnsThePeerNowDefendsIt() public {
        Table memory table = _open(players[0], 1, FINDER, true);
        vm.prank(players[0].wallet);
        registry.offerPeer(players[0].peerKey, STRANGER);
        vm.prank(STRANGER);
        registry.acceptPeer(players[0].peerKey);
        bytes32[] memory children = _list(keccak256(DATA), keccak256(RIGHT));
        bytes32 root = keccak256(bytes.concat(children[0], children[1]));
        vm.prank(players[0].wallet);
        _refused(DisputeGame.NotYourTurn.selector);
        disputes.postTrace(table.id, table.state, root, 2, _nodesRoot(), OUTPUTS, children);
        table.accused.wallet = STRANGER;
        _playToLeaf(table);
        _leaf(table);
        _equal(token.balanceOf(STRANGER), 2.5 ether);
    }

    function test_onlyCourtsHoldStake() public {
        _refused(StakeVault.NotOfThisRun.selector);
        vault.hold(players[0].peerKey);
        _refused(StakeVault.NotOfThisRun.selector);
        vault.release(players[0].peerKey);
        _refused(StakeVault.NotOfThisRun.selector);
        vault.splitBond(FINDER, 1, STRANGER);
    }
}
