// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Contributions} from "../Contributions.sol";
import {Membership} from "../Membership.sol";
import {RoundClock} from "../RoundClock.sol";
import {Rules, Signature} from "../RunTypes.sol";
import {Bench} from "./Bench.sol";

/// @dev Draws matter: eight members, of whom three are expected to attest.
contract RoundsTest is Bench {
    Player[] private players;

    function _rules() internal pure override returns (Rules memory rules) {
        rules = super._rules();
        rules.startMembers = 8;
        rules.quorumSize = 3;
    }

    function setUp() public override {
        super.setUp();
        Player[] memory joined = _join(0, 8, 1);
        for (uint256 i = 0; i < 8; ++i) {
            players.push(joined[i]);
        }
        vm.roll(vm.getBlockNumber() + 2);
        require(clock.round() == 1 && clock.seedOf(1) != 0);
    }

    function _drawn(bytes32 domain, uint64 round, uint256 expected) private view returns (uint256 mask) {
        for (uint256 i = 0; i < players.length; ++i) {
            if (clock.isDrawn(domain, round, players[i].signer, expected)) mask |= 1 << i;
        }
    }

    function _count(uint256 mask) private pure returns (uint256 count) {
        for (; mask != 0; mask &= mask - 1) {
            ++count;
        }
    }

    function _first(uint256 mask) private pure returns (uint256 index) {
        while (mask >> index & 1 == 0) {
            ++index;
        }
    }

    /// @dev Go on to a round in which posters and a quorum are drawn, and some members are not.
    function _goWhereDrawsAreUneven() private returns (uint64 round, uint256 posters, uint256 quorum) {
        while (true) {
            round = clock.round();
            posters = _drawn(clock.POSTER(), round, 4);
            quorum = _drawn(clock.QUORUM(), round, 3);
            if (posters != 0 && posters != 255 && _count(quorum) >= 2 && quorum != 255) return (round, posters, quorum);
            _advance();
            vm.roll(vm.getBlockNumber() + 2);
        }
    }

    function _try(bytes4 reason, Contributions.RoundResult memory result, uint256 poster, uint256 mask) private {
        Signature[] memory signatures = _signatures(result, _some(players, mask));
        vm.prank(players[poster].wallet);
        if (reason != 0) _refused(reason);
        contributions.post(result, players[poster].peerKey, signatures);
    }

    function test_whoIsDrawnPostsAndAttests() public {
        (uint64 round, uint256 posters, uint256 quorum) = _goWhereDrawsAreUneven();
        Contributions.RoundResult memory result = _result(round, keccak256("root"), 1);
        uint256 poster = _first(posters);
        _try(RoundClock.PosterNotDrawn.selector, result, _first(~posters), quorum);
        _try(RoundClock.QuorumMissing.selector, result, poster, quorum & (1 << _first(quorum)));
        _try(RoundClock.AttesterNotDrawn.selector, result, poster, quorum | (1 << _first(~quorum)));
        _try(0, result, poster, quorum);
        require(clock.round() == round + 1 && contributions.settledRound() == round);
        require(contributions.resultHash(round) != 0);
    }

    function test_aDrawNeedsItsSeed() public {
        _advance();
        Contributions.RoundResult memory result = _result(2, keccak256("root"), 1);
        _try(RoundClock.SeedNotReady.selector, result, 0, 255);
        address signer = players[0].signer;
        bytes32 domain = clock.QUORUM();
        _refused(RoundClock.SeedNotReady.selector);
        clock.isDrawn(domain, 2, signer, 3);
        _refused(RoundClock.SeedNotReady.selector);
        clock.fixSeed();
        require(clock.isDrawn(domain, 2, signer, 8));
        require(!clock.isDrawn(domain, 2, STRANGER, 8));
        vm.roll(vm.getBlockNumber() + 2);
        clock.fixSeed();
        bytes32 seed = clock.seedOf(2);
        clock.fixSeed();
        vm.roll(vm.getBlockNumber() + 1000);
        require(seed != 0 && clock.seedOf(2) == seed);
    }

    function test_timeWidensTheDrawsUntilEverybodyIsIn() public {
        (uint256 postersAtFirst, uint256 attestersAtFirst) = clock.expectedDraws(1);
        require(postersAtFirst == 4 && attestersAtFirst == 3);
        _pass(20);
        (uint256 posters,) = clock.expectedDraws(1);
        _equal(posters, 16);
        _pass(180);
        (, uint256 attesters) = clock.expectedDraws(1);
        _equal(attesters, 12);
        _pass(1 days);
        (posters, attesters) = clock.expectedDraws(1);
        require(posters == 4 << 32 && attesters == 3 << 32);
    }

    function test_onlyMembersSignEachOnceInOrder() public {
        _pass(200);
        Contributions.RoundResult memory result = _result(1, keccak256("root"), 1);
        _try(RoundClock.MajorityMissing.selector, result, 0, 15);
        Signature[] memory ordered = _signatures(result, players);
        bytes32 peer = players[0].peerKey;
        vm.startPrank(players[0].wallet);
        Signature[] memory twice = _signatures(result, players);
        twice[1] = twice[0];
        _refused(Membership.SignaturesUnordered.selector);
        contributions.post(result, peer, twice);
        (twice[0], twice[1]) = (ordered[1], ordered[0]);
        _refused(Membership.SignaturesUnordered.selector);
        contributions.post(result, peer, twice);
        Player[] memory foreign = players;
        foreign[7] = _player(99);
        twice = _signatures(result, foreign);
        _refused(Membership.NotAMember.selector);
        contributions.post(result, peer, twice);
        vm.stopPrank();
        _refused(Membership.NotThePeersOwner.selector);
        contributions.post(result, peer, ordered);
        Player memory guest = _register(100);
        vm.prank(guest.wallet);
        _refused(Membership.NotAMember.selector);
        contributions.post(result, guest.peerKey, ordered);
        _try(0, result, 0, 31);
    }

    function test_resultsFormAChainWithinTheCaps() public {
        _pass(200);
        Contributions.RoundResult memory result = _result(1, keccak256("root"), 100 * CREDIT);
        result.previousCreditsRoot = bytes32(uint256(1));
        _try(Contributions.PreviousRootStale.selector, result, 0, 255);
        result.previousCreditsRoot = 0;
        result.totalMicroCredits = 100 * CREDIT + 1;
        _try(Contributions.EmissionExceeded.selector, result, 0, 255);
        result.totalMicroCredits = 100 * CREDIT;
        result.round = 2;
        _try(RoundClock.RoundNotOpened.selector, result, 0, 255);
        result.round = 1;
        _try(0, result, 0, 255);
        _try(Contributions.RoundAlreadySettled.selector, result, 0, 255);
        _advance();
        _pass(200);
        result = _result(3, keccak256("other"), 100 * CREDIT - 1);
        _try(Contributions.TotalDecreased.selector, result, 0, 255);
        result = _result(2, keccak256("late"), 150 * CREDIT); // its round is over, but no later one has a result
        _try(0, result, 0, 255);
        require(clock.round() == 3);
        (uint256 perRound, uint256 total) = contributions.emissionCaps();
        require(perRound == 100 * CREDIT && total == BUDGET_MICRO);
    }

    function test_aSignatureCountsForItsRunAlone() public {
        Contributions first = contributions;
        _createRun(keccak256("another run"), _rules());
        for (uint256 i = 0; i < 8; ++i) {
            _stake(players[i], 10 ether);
            _enrol(players[i]);
        }
        _pass(200);
        Contributions.RoundResult memory result = _result(1, keccak256("root"), 1);
        bytes32 digest = first.resultDigest(result);
        require(digest != contributions.resultDigest(result));
        Signature[] memory foreign = new Signature[](1);
        foreign[0] = _sign(players[0].secret, digest);
        bytes32 peer = players[0].peerKey;
        vm.prank(players[0].wallet);
        _refused(Membership.NotAMember.selector);
        contributions.post(result, peer, foreign);
    }

    function test_roundsEndByTheirDeadlineOnly() public {
        _refused(RoundClock.RoundNotCurrent.selector);
        clock.advance(0);
        _refused(RoundClock.RoundStillOpen.selector);
        clock.advance(1);
        _advance();
        require(clock.round() == 2);
        for (uint256 i = 0; i < 8; ++i) {
            vm.prank(players[i].wallet);
            clock.resign(players[i].peerKey);
        }
        _pass(100);
        _refused(RoundClock.NoMembers.selector);
        clock.advance(2);
        _enrol(players[0]);
        clock.advance(2);
        _equal(clock.numMembers(3), 1);
    }

    function test_resultsOf64RoundsAreKept() public {
        for (uint64 i = 1; i <= 70; ++i) {
            _pass(200);
            if (i != 60) _try(0, _result(i, keccak256(abi.encode(i)), i), 0, 255);
            else clock.advance(i);
        }
        require(contributions.resultHash(6) == 0 && contributions.resultHash(7) != 0);
        require(contributions.resultHash(60) == 0 && contributions.resultHash(61) != 0);
        require(contributions.resultHash(70) != 0 && contributions.resultHash(71) == 0);
        require(clock.seedOf(1) == 0 && clock.seedOf(72) == 0);
    }

    function test_aMemberPutsItsOwnContributionOnRecord() public {
        bytes32 peer = players[3].peerKey;
        _refused(Contributions.NotThePeersOwner.selector);
        contributions.include(1, peer, keccak256("content"));
        vm.startPrank(players[3].wallet);
        _refused(Contributions.RoundNotCurrent.selector);
        contributions.include(2, peer, keccak256("content"));
        _refused(Contributions.ContentMissing.selector);
        contributions.include(1, peer, 0);
        contributions.include(1, peer, keccak256("content"));
        _refused(Contributions.AlreadyIncluded.selector);
        contributions.include(1, peer, keccak256("other"));
        vm.stopPrank();
        Contributions.Inclusion[] memory list = contributions.inclusions(1);
        require(list.length == 1 && list[0].peerKey == peer && list[0].content == keccak256("content"));
        Player memory guest = _register(100);
        vm.prank(guest.wallet);
        _refused(Contributions.PeerNotAMember.selector);
        contributions.include(1, guest.peerKey, keccak256("content"));
    }

    function test_nobodyButTheRunItselfReportsAndRollsBack() public {
        bytes32 peer = players[0].peerKey;
        _refused(Membership.NotOfThisRun.selector);
        clock.recordResult(1, peer, address(this), new address[](0));
        _refused(Membership.NotOfThisRun.selector);
        clock.recordRollback();
        _refused(Contributions.NotOfThisRun.selector);
        contributions.rollback(0, 0, 0, 0);
        _refused(Contributions.NotOfThisRun.selector);
        contributions.endRun(1);
    }

    /// @dev However few can be reached, members of more than half of all weight settle every round in time.
    function testFuzz_aMajorityIsNeverStalled(uint8 mask, uint16 wait) public {
        vm.assume(_count(mask) > 4);
        Contributions.RoundResult memory result = _result(1, keccak256("root"), 1);
        _pass(200 + uint256(wait));
        _try(0, result, _first(mask), mask);
        require(contributions.settledRound() == 1);
    }

    /// @dev And once everybody is asked, half of the weight is not enough.
    function testFuzz_halfOfTheWeightIsNotEnough(uint8 mask, uint16 wait) public {
        vm.assume(_count(mask) <= 4);
        _pass(200 + uint256(wait));
        Contributions.RoundResult memory result = _result(1, keccak256("root"), 1);
        _try(RoundClock.MajorityMissing.selector, result, 0, mask);
    }

    /// @dev Over many rounds, members are drawn about as often as expected, and the seed decides.
    function test_drawsFollowTheExpectation() public view {
        uint256 count;
        bytes32 seed = clock.seedOf(1);
        for (uint256 domain = 0; domain < 500; ++domain) {
            uint256 mask = _drawn(bytes32(domain), 1, 3);
            count += _count(mask);
            for (uint256 i = 0; i < 8; ++i) {
                uint256 ticket = uint256(keccak256(abi.encode(seed, bytes32(domain), uint64(1), players[i].signer)));
                require((mask >> i & 1 == 1) == (ticket < (type(uint256).max / 8) * 3));
            }
        }
        require(count > 1350 && count < 1650, "3 of 8 expected, 500 times");
    }
}
