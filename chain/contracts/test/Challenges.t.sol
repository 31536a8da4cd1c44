// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Contributions} from "../Contributions.sol";
import {Epochs} from "../Epochs.sol";
import {RunContracts, Signature, WEI_PER_MICRO} from "../RunTypes.sol";
import {Membership} from "../Membership.sol";
import {Settlement} from "../Settlement.sol";
import {Bench} from "./Bench.sol";

contract ChallengesTest is Bench {
    Player[] private players;

    function setUp() public override {
        super.setUp();
        Player[] memory joined = _join(0, 3, 1);
        for (uint256 i = 0; i < 3; ++i) {
            players.push(joined[i]);
        }
        require(clock.round() == 1);
    }

    /// @dev Two rounds and an epoch in which everybody earned `micro`.
    function _open(uint256 micro) private returns (uint256[] memory lines) {
        lines = _lines(3, micro);
        _settle(players, lines);
        _settle(players, lines);
        settlement.openEpoch();
    }

    function _challenge(uint256 epoch) private {
        token.approve(address(vault), 50 ether);
        settlement.challenge(epoch);
    }

    function test_anUnansweredChallengeRollsTheRunBack() public {
        uint256[] memory lines = _open(10 * CREDIT);
        bytes32 finalRoot = contributions.creditsRoot();
        bytes32 finalTable = contributions.dataHash();
        _pass(1000);
        _open(30 * CREDIT);
        bytes32 voided = contributions.resultHash(4);
        uint256 before = token.balanceOf(address(this));
        _challenge(1);
        _equal(before - token.balanceOf(address(this)), 50 ether);
        _refused(Epochs.EpochNotOpen.selector);
        settlement.challenge(1);
        _refused(Epochs.EpochUndecided.selector);
        settlement.openEpoch();
        _pass(699);
        _refused(Epochs.TooEarly.selector);
        settlement.voidEpoch(1);
        _pass(1);
        settlement.voidEpoch(1);
        _equal(token.balanceOf(address(this)), before);
        require(contributions.creditsRoot() == finalRoot && contributions.dataHash() == finalTable);
        _equal(contributions.settledRound(), 2);
        _equal(contributions.totalMicroCredits(), 30 * CREDIT);
        require(voided != 0 && contributions.resultHash(4) == 0 && contributions.resultHash(2) != 0);
        _refused(Epochs.EpochNotOpen.selector);
        settlement.voidEpoch(1);
        (bool found, uint256 epoch) = settlement.latestClaimable();
        require(found && epoch == 0);
        lines = _lines(3, 20 * CREDIT);
        _post(_result(4, _root(players, lines), 60 * CREDIT), players[0], players);
        require(contributions.resultHash(4) != 0 && contributions.resultHash(4) != voided);
        require(contributions.resultHash(3) == 0);
        settlement.openEpoch();
        _pass(1500);
        _refused(Settlement.EpochNotClaimable.selector);
        settlement.claim(players[0].peerKey, lines[0], 1, new bytes32[](0));
        settlement.claim(players[0].peerKey, lines[0], 2, _proof(players, lines, 0));
        _equal(token.balanceOf(players[0].wallet), 20 ether);
    }

    function test_nobodyIsPrunedForWaitingForARollback() public {
        _open(10 * CREDIT);
        _challenge(0);
        for (uint256 i = 0; i < 6; ++i) {
            if (i % 2 == 0) {
                vm.prank(players[1].wallet); // the others wait, too, but do not say so
                clock.enrol(players[1].peerKey);
            }
            _pass(120);
            clock.advance(clock.round());
        }
        settlement.voidEpoch(0);
        _equal(clock.activeRound(), 9);
        bytes32 waiting = players[2].peerKey;
        for (uint256 i = 0; i < 3; ++i) {
            _refused(Membership.MemberNotAbsent.selector);
            clock.prune(waiting);
            if (i == 0) _post(_result(clock.round(), keccak256("again"), 1), players[0], players);
            else _advance();
        }
        _advance();
        clock.prune(waiting);
        require(contributions.settledRound() == 9);
    }

    function test_aChallengeComesInTimeOrNotAtAll() public {
        _open(10 * CREDIT);
        _pass(1000);
        _refused(Epochs.TooLate.selector);
        settlement.challenge(0);
        _refused(Epochs.EpochNotOpen.selector);
        settlement.challenge(1);
    }

    function test_aMajorityOfAllWeightAffirms() public {
        uint256[] memory lines = _lines(3, 10 * CREDIT);
        _settle(players, lines);
        Contributions.RoundResult memory result = _result(2, _root(players, lines), 30 * CREDIT);
        _post(result, players[0], players);
        settlement.openEpoch();
        _challenge(0);
        Signature[] memory one = _signatures(result, _some(players, 1));
        Signature[] memory two = _signatures(result, _some(players, 3));
        settlement.affirm(0, result, one);
        require(settlement.epochs(0).state == Epochs.EpochState.Challenged);
        vm.prank(STRANGER);
        settlement.affirm(0, result, two);
        require(settlement.epochs(0).state == Epochs.EpochState.Final);
        _equal(token.totalSupply(), SUPPLY_WEI - 50 ether);
        _equal(token.balanceOf(address(vault)), 30 ether);
        _refused(Epochs.EpochNotOpen.selector);
        settlement.affirm(0, result, two);
        _pass(1500);
        bytes32[] memory proof = _proof(players, lines, 0);
        _refused(Settlement.EpochNotClaimable.selector);
        settlement.claim(players[0].peerKey, lines[0], 0, proof);
        _pass(700);
        settlement.claim(players[0].peerKey, lines[0], 0, proof);
    }

    function test_anAnswerMayComeInSeveralPartsOfOneSender() public {
        uint256[] memory lines = _lines(3, 10 * CREDIT);
        _settle(players, lines);
        Contributions.RoundResult memory result = _result(2, _root(players, lines), 30 * CREDIT);
        _post(result, players[0], players);
        settlement.openEpoch();
        _challenge(0);
        Player[] memory ordered = _ordered(players);
        Signature[] memory first = _signatures(result, _some(ordered, 1));
        Signature[] memory last = _signatures(result, _some(ordered, 4));
        vm.prank(STRANGER); // a stranger's part counts for the stranger alone
        settlement.affirm(0, result, last);
        settlement.affirm(0, result, first);
        _refused(Epochs.SignaturesUnordered.selector);
        settlement.affirm(0, result, first);
        settlement.affirm(0, result, new Signature[](0));
        require(settlement.epochs(0).state == Epochs.EpochState.Challenged);
        settlement.affirm(0, result, last);
        require(settlement.epochs(0).state == Epochs.EpochState.Final);
    }

    function test_onlyTheEpochsResultAnswersInTime() public {
        uint256[] memory lines = _lines(3, 10 * CREDIT);
        _settle(players, lines);
        Contributions.RoundResult memory result = _result(2, _root(players, lines), 30 * CREDIT);
        _post(result, players[0], players);
        settlement.openEpoch();
        Signature[] memory none = new Signature[](0);
        _refused(Epochs.EpochNotOpen.selector);
        settlement.affirm(0, result, none);
        _challenge(0);
        for (uint256 i = 0; i < 4; ++i) {
            Contributions.RoundResult memory other = _copy(result);
            if (i == 0) other.round = 1;
            if (i == 1) other.creditsRoot = 0;
            if (i == 2) other.dataHash = 0;
            if (i == 3) other.totalMicroCredits += 1;
            _refused(Epochs.ResultNotOfEpoch.selector);
            settlement.affirm(0, other, none);
        }
        Signature[] memory all = _signatures(result, players);
        _pass(700);
        _refused(Epochs.TooLate.selector);
        settlement.affirm(0, result, all);
    }

    function _copy(Contributions.RoundResult memory result) private pure returns (Contributions.RoundResult memory) {
        return abi.decode(abi.encode(result), (Contributions.RoundResult));
    }

    function test_aVoidedEpochGivesAnEndingRunTimeToDoItAgain() public {
        uint256[] memory lines = _open(10 * CREDIT);
        vm.prank(CREATOR);
        settlement.stop();
        _challenge(0);
        _pass(700);
        settlement.voidEpoch(0);
        (, uint64 endsAt,) = settlement.escrow();
        _equal(endsAt, vm.getBlockTimestamp() + 400);
        _post(_result(2, _root(players, lines), 30 * CREDIT), players[0], players);
        settlement.openEpoch();
        _pass(1500);
        settlement.claim(players[0].peerKey, lines[0], 1, _proof(players, lines, 0));
    }
}
