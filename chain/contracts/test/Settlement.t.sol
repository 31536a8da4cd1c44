// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Contributions} from "../Contributions.sol";
import {Epochs} from "../Epochs.sol";
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
        _refused(Epochs.EpochNotOpen.selector);
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
        _refused(Epochs.EpochNotDue.selector);
        settlement.openEpoch();
        _settle(players, _lines(3, CREDIT));
        _refused(Epochs.EpochNotDue.selector);
        settlement.openEpoch();
        _settle(players, _lines(3, CREDIT));
        settlement.openEpoch();
        _refused(Epochs.EpochUndecided.selector);
        settlement.openEpoch();
        _pass(1000);
        _refused(Epochs.EpochNotDue.selector);
        settlement.openEpoch();
    }

    function test_aResultThatNobodyCanBuildOnIsOpenedWhenItsRoundsAreOver() public {
        _settle(players, _lines(3, CREDIT));
        _advance();
        settlement.openEpoch();
        _equal(settlement.epochs(0).round, 1);
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
        _refused(Epochs.TooEarly.selector);
        settlement.reclaim();
        _pass(1);
        _refused(Epochs.EpochUndecided.selector); // rounds are recorded that no epoch pays yet
        settlement.reclaim();
        settlement.openEpoch();
        _refused(Epochs.EpochUndecided.selector);
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

    function test_onlyTheDisputesContractHoldsAndStrikesPay() public {
        bytes32 peer = players[0].peerKey;
        _refused(Settlement.NotOfThisRun.selector);
        settlement.strike(peer, 1);
        _refused(Settlement.NotOfThisRun.selector);
        settlement.hold(peer);
        _refused(Settlement.NotOfThisRun.selector);
        settlement.release(peer);
    }

    function test_aPeerInADisputeIsNotPaidAndSpoilsNobodysPay() public {
        uint256[] memory lines = _open(10 * CREDIT);
        _pass(1500);
        vm.startPrank(address(disputes));
        settlement.hold(players[0].peerKey);
        settlement.hold(players[0].peerKey);
        settlement.release(players[0].peerKey);
        vm.stopPrank();
        require(settlement.isHeld(players[0].peerKey) && !settlement.isHeld(players[1].peerKey));
        bytes32[] memory proof = _proof(players, lines, 0);
        _refused(Settlement.DisputePending.selector);
        settlement.claim(players[0].peerKey, lines[0], 0, proof);
        Settlement.ClaimLine[] memory many = new Settlement.ClaimLine[](2);
        many[0] = Settlement.ClaimLine(players[0].peerKey, lines[0], proof);
        many[1] = Settlement.ClaimLine(players[1].peerKey, lines[1], _proof(players, lines, 1));
        settlement.claimMany(0, many);
        _equal(token.balanceOf(players[0].wallet), 0);
        _equal(token.balanceOf(players[1].wallet), 10 ether);
        vm.prank(address(disputes));
        settlement.release(players[0].peerKey);
        settlement.claim(players[0].peerKey, lines[0], 0, proof);
        _equal(token.balanceOf(players[0].wallet), 10 ether);
    }

    function test_afterARefutedContributionTheNextClaimThatCoversItPaysNothing() public {
        bytes32 peer = players[0].peerKey;
        uint256[] memory first = _open(10 * CREDIT); // rounds 1 and 2
        _pass(1500);
        uint256[] memory second = _open(25 * CREDIT); // rounds 3 and 4
        _pass(1500);
        vm.prank(address(disputes));
        settlement.strike(peer, 2); // credited from round 3 on, so not by the first epoch
        (, uint64 struck) = settlement.pending(peer);
        _equal(struck, 2);
        settlement.claim(peer, first[0], 0, _proof(players, first, 0));
        _equal(token.balanceOf(players[0].wallet), 10 ether);
        settlement.claim(peer, second[0], 1, _proof(players, second, 0));
        _equal(token.balanceOf(players[0].wallet), 10 ether);
        _equal(token.totalSupply(), SUPPLY_WEI - 15 ether);
        _equal(settlement.claimedMicro(peer), 25 * CREDIT);
        vm.prank(address(disputes));
        settlement.strike(peer, 3); // covered by what was forfeited
        (, struck) = settlement.pending(peer);
        _equal(struck, 0);
        uint256[] memory third = _open(40 * CREDIT);
        _pass(1500);
        settlement.claim(peer, third[0], 2, _proof(players, third, 0));
        _equal(token.balanceOf(players[0].wallet), 25 ether);
    }

    /// @dev Whoever is refuted twice, in whatever order, is paid by no epoch that credits either work: a later round that
    /// was refuted first does not cover up for an earlier one.
    function test_aLaterRefutationDoesNotSaveThePayOfAnEarlierOne() public {
        bytes32 peer = players[0].peerKey;
        uint256[] memory first = _open(10 * CREDIT); // rounds 1 and 2
        _pass(1500);
        uint256[] memory second = _open(25 * CREDIT); // rounds 3 and 4
        _pass(1500);
        vm.startPrank(address(disputes));
        settlement.strike(peer, 3);
        settlement.strike(peer, 1);
        settlement.strike(peer, 2);
        vm.stopPrank();
        (, uint64 struck) = settlement.pending(peer);
        _equal(struck, 1);
        settlement.claim(peer, first[0], 0, _proof(players, first, 0));
        (, struck) = settlement.pending(peer);
        _equal(struck, 2);
        settlement.claim(peer, second[0], 1, _proof(players, second, 0));
        (, struck) = settlement.pending(peer);
        _equal(struck, 0);
        _equal(token.balanceOf(players[0].wallet), 0);
        _equal(token.totalSupply(), SUPPLY_WEI - 25 ether);
        uint256[] memory third = _open(40 * CREDIT);
        _pass(1500);
        settlement.claim(peer, third[0], 2, _proof(players, third, 0));
        _equal(token.balanceOf(players[0].wallet), 15 ether);
    }

    /// @dev A round that will never come, or whose number fits into nothing, is no way out either.
    function testFuzz_aRefutedRoundOfTheFarFutureSavesNothing(uint64 future, bool before) public {
        bytes32 peer = players[0].peerKey;
        uint256[] memory lines = _open(10 * CREDIT);
        _pass(1500);
        future = future < 3 ? type(uint64).max - future : future;
        vm.startPrank(address(disputes));
        settlement.strike(peer, before ? future : 1);
        settlement.strike(peer, before ? 1 : future);
        vm.stopPrank();
        settlement.claim(peer, lines[0], 0, _proof(players, lines, 0));
        _equal(token.balanceOf(players[0].wallet), 0);
    }

    function test_whatIsPaidOrCanBePaidIsNoLongerDisputed() public {
        _equal(settlement.paidRound(), 0);
        _open(10 * CREDIT);
        _pass(1499);
        _equal(settlement.paidRound(), 0);
        _pass(1);
        _equal(settlement.paidRound(), 2);
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
