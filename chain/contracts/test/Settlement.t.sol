// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Contributions} from "../Contributions.sol";
import {RunContracts, Signature, WEI_PER_MICRO} from "../RunTypes.sol";
import {Membership} from "../Membership.sol";
import {Settlement} from "../Settlement.sol";
import {Bench} from "./Bench.sol";

contract SettlementTest is Bench {
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

    function test_creditsAreClaimedWhenTheEpochUnlocks() public {
        uint256[] memory lines = _open(20 * CREDIT);
        bytes32[] memory proof = _proof(players, lines, 1);
        _pass(1499);
        _refused(Settlement.EpochNotClaimable.selector);
        settlement.claim(players[1].peerKey, lines[1], 0, proof);
        _pass(1);
        settlement.claim(players[1].peerKey, lines[1], 0, proof);
        _equal(token.balanceOf(players[1].wallet), 20 ether);
        _equal(settlement.claimedMicro(players[1].peerKey), 20 * CREDIT);
        _refused(Settlement.NothingToClaim.selector);
        settlement.claim(players[1].peerKey, lines[1], 0, proof);
    }

    function test_aNewerEpochPaysTheDifference() public {
        uint256[] memory lines = _open(10 * CREDIT);
        _pass(1500);
        settlement.claim(players[0].peerKey, lines[0], 0, _proof(players, lines, 0));
        lines = _open(25 * CREDIT);
        (bool found, uint256 epoch) = settlement.latestClaimable();
        require(found && epoch == 0);
        _pass(1500);
        (, epoch) = settlement.latestClaimable();
        require(epoch == 1);
        settlement.claim(players[0].peerKey, lines[0], 1, _proof(players, lines, 0));
        _equal(token.balanceOf(players[0].wallet), 25 ether);
    }

    function test_onlyLinesOfTheEpochArePaid() public {
        uint256[] memory lines = _open(10 * CREDIT);
        _pass(1500);
        bytes32[] memory proof = _proof(players, lines, 0);
        _refused(Settlement.ClaimProofRejected.selector);
        settlement.claim(players[0].peerKey, lines[0] + (1 << 192), 0, proof);
        _refused(Settlement.ClaimProofRejected.selector);
        settlement.claim(players[1].peerKey, lines[0], 0, proof);
        _refused(Settlement.EpochNotOpen.selector);
        settlement.claim(players[0].peerKey, lines[0], 1, proof);
    }

    function test_aPeerThatNobodyRegisteredIsNotPaid() public {
        Player[] memory all = players;
        all[2] = _player(77);
        uint256[] memory lines = _lines(3, CREDIT);
        for (uint256 i = 0; i < 2; ++i) {
            _post(_result(clock.round(), _root(all, lines), 3 * CREDIT), players[0], players);
        }
        settlement.openEpoch();
        _pass(1500);
        bytes32[] memory proof = _proof(all, lines, 2);
        _refused(Settlement.PeerUnknown.selector);
        settlement.claim(all[2].peerKey, lines[2], 0, proof);
        _register(77);
        settlement.claim(all[2].peerKey, lines[2], 0, proof);
        _equal(token.balanceOf(all[2].wallet), 1 ether);
    }

    function test_aRootThatDoesNotAddUpPaysNoMoreThanWasCredited() public {
        uint256[] memory lines = _lines(3, 40 * CREDIT);
        for (uint256 i = 0; i < 2; ++i) {
            _post(_result(clock.round(), _root(players, lines), 90 * CREDIT), players[0], players);
        }
        settlement.openEpoch();
        _pass(1500);
        settlement.claim(players[0].peerKey, lines[0], 0, _proof(players, lines, 0));
        settlement.claim(players[1].peerKey, lines[1], 0, _proof(players, lines, 1));
        bytes32[] memory proof = _proof(players, lines, 2);
        _refused(Settlement.EscrowOverdrawn.selector);
        settlement.claim(players[2].peerKey, lines[2], 0, proof);
        _equal(token.balanceOf(address(settlement)), (BUDGET_MICRO - 80 * CREDIT) * WEI_PER_MICRO);
    }

    function test_manyAreClaimedForAtOnce() public {
        uint256[] memory lines = _open(10 * CREDIT);
        Settlement.ClaimLine[] memory all = new Settlement.ClaimLine[](3);
        for (uint256 i = 0; i < 3; ++i) {
            all[i] = Settlement.ClaimLine(players[i].peerKey, lines[i], _proof(players, lines, i));
        }
        _refused(Settlement.EpochNotClaimable.selector);
        settlement.claimMany(0, all);
        _pass(1500);
        settlement.claim(players[1].peerKey, lines[1], 0, all[1].proof); // spoils nothing for the others
        settlement.claimMany(0, all);
        settlement.claimMany(0, all);
        for (uint256 i = 0; i < 3; ++i) {
            _equal(token.balanceOf(players[i].wallet), 10 ether);
        }
        all[2].line += 1 << 192;
        _refused(Settlement.ClaimProofRejected.selector);
        settlement.claimMany(0, all);
    }

    function test_manyClaimsExceedNoMoreThanOne() public {
        uint256[] memory lines = _lines(3, 40 * CREDIT);
        for (uint256 i = 0; i < 2; ++i) {
            _post(_result(clock.round(), _root(players, lines), 90 * CREDIT), players[0], players);
        }
        settlement.openEpoch();
        _pass(1500);
        Settlement.ClaimLine[] memory all = new Settlement.ClaimLine[](3);
        for (uint256 i = 0; i < 3; ++i) {
            all[i] = Settlement.ClaimLine(players[i].peerKey, lines[i], _proof(players, lines, i));
        }
        _refused(Settlement.EscrowOverdrawn.selector);
        settlement.claimMany(0, all);
    }

    function test_epochsAreOpenedWhenDue() public {
        _refused(Settlement.EpochNotDue.selector);
        settlement.openEpoch();
        _settle(players, _lines(3, CREDIT));
        _refused(Settlement.EpochNotDue.selector);
        settlement.openEpoch();
        _settle(players, _lines(3, CREDIT));
        settlement.openEpoch();
        _refused(Settlement.EpochUndecided.selector);
        settlement.openEpoch();
        _pass(1000);
        _refused(Settlement.EpochNotDue.selector);
        settlement.openEpoch();
    }

    function test_aResultThatNobodyCanBuildOnIsOpenedWhenItsRoundsAreOver() public {
        _settle(players, _lines(3, CREDIT));
        _advance();
        settlement.openEpoch();
        _equal(settlement.epochs(0).round, 1);
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
        _refused(Settlement.EpochNotOpen.selector);
        settlement.challenge(1);
        _refused(Settlement.EpochUndecided.selector);
        settlement.openEpoch();
        _pass(699);
        _refused(Settlement.TooEarly.selector);
        settlement.voidEpoch(1);
        _pass(1);
        settlement.voidEpoch(1);
        _equal(token.balanceOf(address(this)), before);
        require(contributions.creditsRoot() == finalRoot && contributions.dataHash() == finalTable);
        _equal(contributions.settledRound(), 2);
        _equal(contributions.totalMicroCredits(), 30 * CREDIT);
        require(voided != 0 && contributions.resultHash(4) == 0 && contributions.resultHash(2) != 0);
        _refused(Settlement.EpochNotOpen.selector);
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
        _refused(Settlement.TooLate.selector);
        settlement.challenge(0);
        _refused(Settlement.EpochNotOpen.selector);
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
        require(settlement.epochs(0).state == Settlement.EpochState.Challenged);
        vm.prank(STRANGER);
        settlement.affirm(0, result, two);
        require(settlement.epochs(0).state == Settlement.EpochState.Final);
        _equal(token.totalSupply(), SUPPLY_WEI - 50 ether);
        _equal(token.balanceOf(address(vault)), 30 ether);
        _refused(Settlement.EpochNotOpen.selector);
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
        _refused(Settlement.SignaturesUnordered.selector);
        settlement.affirm(0, result, first);
        settlement.affirm(0, result, new Signature[](0));
        require(settlement.epochs(0).state == Settlement.EpochState.Challenged);
        settlement.affirm(0, result, last);
        require(settlement.epochs(0).state == Settlement.EpochState.Final);
    }

    function test_onlyTheEpochsResultAnswersInTime() public {
        uint256[] memory lines = _lines(3, 10 * CREDIT);
        _settle(players, lines);
        Contributions.RoundResult memory result = _result(2, _root(players, lines), 30 * CREDIT);
        _post(result, players[0], players);
        settlement.openEpoch();
        Signature[] memory none = new Signature[](0);
        _refused(Settlement.EpochNotOpen.selector);
        settlement.affirm(0, result, none);
        _challenge(0);
        for (uint256 i = 0; i < 4; ++i) {
            Contributions.RoundResult memory other = _copy(result);
            if (i == 0) other.round = 1;
            if (i == 1) other.creditsRoot = 0;
            if (i == 2) other.dataHash = 0;
            if (i == 3) other.totalMicroCredits += 1;
            _refused(Settlement.ResultNotOfEpoch.selector);
            settlement.affirm(0, other, none);
        }
        Signature[] memory all = _signatures(result, players);
        _pass(700);
        _refused(Settlement.TooLate.selector);
        settlement.affirm(0, result, all);
    }

    function _copy(Contributions.RoundResult memory result) private pure returns (Contributions.RoundResult memory) {
        return abi.decode(abi.encode(result), (Contributions.RoundResult));
    }

    function test_whatIsNotCreditedGoesBackToTheCreator() public {
        _refused(Settlement.NotTheCreator.selector);
        settlement.stop();
        _refused(Settlement.RunNotStopped.selector);
        settlement.reclaim();
        uint256[] memory lines = _lines(3, 10 * CREDIT);
        _settle(players, lines);
        vm.prank(CREATOR);
        settlement.stop();
        vm.prank(CREATOR);
        _refused(Settlement.AlreadyDone.selector);
        settlement.stop();
        _pass(399);
        lines = _lines(3, 20 * CREDIT);
        _settle(players, lines);
        _pass(1);
        Contributions.RoundResult memory late = _result(3, bytes32(uint256(1)), 60 * CREDIT);
        bytes32 poster = players[0].peerKey;
        vm.prank(players[0].wallet);
        _refused(Contributions.RunEnded.selector);
        contributions.post(late, poster, new Signature[](0));
        _pass(2199);
        _refused(Settlement.TooEarly.selector);
        settlement.reclaim();
        _pass(1);
        _refused(Settlement.EpochUndecided.selector); // rounds are recorded that no epoch pays yet
        settlement.reclaim();
        settlement.openEpoch();
        _refused(Settlement.EpochUndecided.selector);
        settlement.reclaim();
        _pass(1000);
        uint256 before = token.balanceOf(CREATOR);
        settlement.reclaim();
        _equal(token.balanceOf(CREATOR) - before, (BUDGET_MICRO - 60 * CREDIT) * WEI_PER_MICRO);
        _refused(Settlement.AlreadyDone.selector);
        settlement.reclaim();
        _pass(500);
        for (uint256 i = 0; i < 3; ++i) {
            settlement.claim(players[i].peerKey, lines[i], 0, _proof(players, lines, i));
        }
        _equal(token.balanceOf(address(settlement)), 0);
        (uint256 budgetMicro, uint64 endsAt, bool reclaimed) = settlement.escrow();
        require(budgetMicro == BUDGET_MICRO && endsAt != 0 && reclaimed);
    }

    function test_anUnusedBudgetGoesBackWhole() public {
        uint256 before = token.balanceOf(CREATOR);
        vm.prank(CREATOR);
        settlement.stop();
        _pass(400 + 2200);
        settlement.reclaim();
        _equal(token.balanceOf(CREATOR) - before, BUDGET_MICRO * WEI_PER_MICRO);
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

    function test_onlyTheDisputesContractDeclaresPayForfeited() public {
        bytes32 peer = players[0].peerKey;
        _refused(Settlement.NotOfThisRun.selector);
        settlement.forfeit(peer, 1);
        vm.prank(address(0)); // no disputes contract: nobody can be the zero address, a test can
        _refused(Settlement.EpochNotOpen.selector);
        settlement.forfeit(peer, 1);
        uint256[] memory lines = _open(10 * CREDIT);
        _pass(1500);
        vm.prank(address(0));
        settlement.forfeit(peer, 4 * CREDIT);
        settlement.claim(peer, lines[0], 0, _proof(players, lines, 0));
        _equal(token.balanceOf(players[0].wallet), 6 ether);
        _equal(token.totalSupply(), SUPPLY_WEI - 4 ether);
    }

    function test_theOwnerAtTheTimeOfTheClaimIsPaid() public {
        uint256[] memory lines = _open(10 * CREDIT);
        _pass(1500);
        vm.prank(players[0].wallet);
        registry.offerPeer(players[0].peerKey, STRANGER);
        vm.prank(STRANGER);
        registry.acceptPeer(players[0].peerKey);
        settlement.claim(players[0].peerKey, lines[0], 0, _proof(players, lines, 0));
        _equal(token.balanceOf(STRANGER), 10 ether);
    }

    function testFuzz_claimsNeverExceedTheLine(uint64[4] memory steps) public {
        uint256 micro;
        uint256 total;
        for (uint256 i = 0; i < 4; ++i) {
            micro += steps[i] % (16 * CREDIT);
            uint256[] memory lines = _lines(3, micro);
            _settle(players, lines);
            _settle(players, lines);
            settlement.openEpoch();
            _pass(1500);
            total = 3 * micro;
            if (steps[i] % 3 != 0 && micro > settlement.claimedMicro(players[0].peerKey)) {
                settlement.claim(players[0].peerKey, lines[0], i, _proof(players, lines, 0));
                _equal(token.balanceOf(players[0].wallet), micro * WEI_PER_MICRO);
            }
            require(token.balanceOf(address(settlement)) >= (BUDGET_MICRO - total) * WEI_PER_MICRO);
        }
    }
}
