// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Equivocation} from "../Equivocation.sol";
import {Membership} from "../Membership.sol";
import {Reputation} from "../Reputation.sol";
import {RoundClock} from "../RoundClock.sol";
import {Signature} from "../RunTypes.sol";
import {StakeVault} from "../StakeVault.sol";
import {Bench} from "./Bench.sol";

contract StandingTest is Bench {
    Player[] private players;

    function setUp() public override {
        super.setUp();
        Player[] memory joined = _join(0, 3, 2);
        for (uint256 i = 0; i < 3; ++i) {
            players.push(joined[i]);
        }
    }

    // --- equivocation

    function _record(uint256 secret, bytes32 run, uint64 round, bytes32 content) private view returns (Signature memory) {
        return _sign(secret, registry.recordDigest(run, "contribution", round, content));
    }

    function test_whoSignsTwoContributionsLosesItsStakeAndItsSeat() public {
        Player memory ada = players[0];
        Signature memory one = _record(ada.secret, RUN_ID, 1, keccak256("one"));
        Signature memory two = _record(ada.secret, RUN_ID, 1, keccak256("two"));
        vm.prank(STRANGER);
        equivocation.prove(ada.peerKey, "contribution", 1, keccak256("one"), one, keccak256("two"), two);
        _equal(token.balanceOf(STRANGER), 10 ether);
        require(equivocation.isProven(ada.peerKey, 1) && !clock.isMember(ada.peerKey, 2));
        _equal(clock.standing(ada.peerKey).barredUntilRound, 6);
        _refused(Equivocation.AlreadyProven.selector);
        equivocation.prove(ada.peerKey, "contribution", 1, keccak256("two"), two, keccak256("one"), one);
        _stake(ada, 20 ether);
        vm.prank(ada.wallet);
        _refused(Membership.StillBarred.selector);
        clock.enrol(ada.peerKey);
        for (uint256 i = 0; i < 5; ++i) {
            _advance();
        }
        _enrol(ada);
        _equal(clock.standing(ada.peerKey).readmittedRound, 7);
    }

    function test_honestPeersCannotBeAccused() public {
        Player memory ada = players[0];
        Player memory ben = players[1];
        bytes32 a = keccak256("one");
        bytes32 b = keccak256("two");
        Signature memory one = _record(ada.secret, RUN_ID, 1, a);
        _refused(Equivocation.SameContent.selector);
        equivocation.prove(ada.peerKey, "contribution", 1, a, one, a, one);
        _refused(Equivocation.KindNotAccusable.selector);
        equivocation.prove(ada.peerKey, "answer", 1, a, one, b, one);
        Signature memory other = _record(ada.secret, RUN_ID, 2, b); // another round
        _refused(Equivocation.NotSignedByPeer.selector);
        equivocation.prove(ada.peerKey, "contribution", 1, a, one, b, other);
        other = _record(ada.secret, keccak256("another run"), 1, b);
        _refused(Equivocation.NotSignedByPeer.selector);
        equivocation.prove(ada.peerKey, "contribution", 1, a, one, b, other);
        other = _record(ben.secret, RUN_ID, 1, b); // another peer
        _refused(Equivocation.NotSignedByPeer.selector);
        equivocation.prove(ada.peerKey, "contribution", 1, a, one, b, other);
        bytes32 nobody;
        other = _record(4711, RUN_ID, 1, a);
        _refused(Equivocation.NotSignedByPeer.selector);
        equivocation.prove(nobody, "contribution", 1, a, other, b, other);
    }

    function test_aRotationDoesNotWashItOff() public {
        Player memory ada = players[0];
        Signature memory one = _record(ada.secret, RUN_ID, 1, keccak256("one"));
        _signFrom(ada, 4711);
        clock.refresh(ada.peerKey);
        _advance();
        Signature memory two = _record(ada.secret, RUN_ID, 1, keccak256("two"));
        vm.prank(STRANGER);
        equivocation.prove(ada.peerKey, "contribution", 1, keccak256("one"), one, keccak256("two"), two);
        _equal(token.balanceOf(STRANGER), 10 ether);
    }

    /// @dev Whoever stole the account that signed before cannot use it for a round in which it does not sign for the peer, nor
    /// for one that is paid.
    function test_aFormerAccountHarmsNobodyInLaterRounds() public {
        Player memory ada = players[0];
        _signFrom(ada, 4711);
        clock.refresh(ada.peerKey);
        _advance();
        (bytes32 a, bytes32 b) = (keccak256("one"), keccak256("two"));
        Signature memory one = _record(ada.secret, RUN_ID, 2, a);
        Signature memory two = _record(ada.secret, RUN_ID, 2, b);
        _refused(Equivocation.NotSignedByPeer.selector);
        equivocation.prove(ada.peerKey, "contribution", 2, a, one, b, two);
        one = _record(4711, RUN_ID, 2, a);
        two = _record(4711, RUN_ID, 2, b);
        vm.prank(STRANGER);
        equivocation.prove(ada.peerKey, "contribution", 2, a, one, b, two);
        _equal(token.balanceOf(STRANGER), 10 ether);
    }

    function test_whatIsPaidIsNoLongerHeldAgainstAnybody() public {
        Player memory ada = players[0];
        uint256[] memory lines = _lines(3, CREDIT);
        _settle(players, lines);
        _settle(players, lines);
        settlement.openEpoch(); // of round 2
        _pass(1500);
        (bytes32 a, bytes32 b) = (keccak256("one"), keccak256("two"));
        Signature memory one = _record(ada.secret, RUN_ID, 1, a);
        Signature memory two = _record(ada.secret, RUN_ID, 1, b);
        _refused(Equivocation.RoundPaid.selector);
        equivocation.prove(ada.peerKey, "contribution", 1, a, one, b, two);
        one = _record(ada.secret, RUN_ID, 2, a);
        two = _record(ada.secret, RUN_ID, 2, b);
        equivocation.prove(ada.peerKey, "contribution", 2, a, one, b, two);
    }

    function test_leavingStakeIsTakenToo() public {
        Player memory ada = players[0];
        vm.prank(ada.wallet);
        vault.requestExit(ada.peerKey, 20 ether, 0);
        vm.prank(STRANGER);
        equivocation.prove(
            ada.peerKey,
            "contribution",
            1,
            keccak256("one"),
            _record(ada.secret, RUN_ID, 1, keccak256("one")),
            keccak256("two"),
            _record(ada.secret, RUN_ID, 1, keccak256("two"))
        );
        _pass(5000);
        _refused(StakeVault.StakeNotReady.selector);
        vault.withdraw(ada.peerKey);
    }

    // --- reputation

    function _mixed(uint256 standing, uint256 lastRound) private pure returns (uint256[] memory lines) {
        lines = new uint256[](3);
        for (uint256 i = 0; i < 3; ++i) {
            lines[i] = _line(CREDIT, i == 0 ? standing : 500, i == 0 ? lastRound : 1);
        }
    }

    function test_aStandingIsKeptAndFades() public {
        bytes32 peer = players[0].peerKey;
        _equal(reputation.standingOf(peer), 500);
        uint256[] memory lines = _mixed(801, 1);
        _settle(players, lines);
        bytes32[] memory proof = _proof(players, lines, 0);
        _refused(Reputation.LineRejected.selector);
        reputation.record(peer, lines[1], proof);
        reputation.record(peer, lines[0], proof);
        _refused(Reputation.LineNotNewer.selector);
        reputation.record(peer, lines[0], proof);
        _equal(reputation.standingOf(peer), 801);
        for (uint256 i = 0; i < 63; ++i) {
            _advance();
        }
        _equal(reputation.standingOf(peer), 400);
        for (uint256 i = 0; i < 64; ++i) {
            _advance();
        }
        _equal(reputation.standingOf(peer), 200);
    }

    /// @dev Results up to `round`, of which the last one is in a final epoch.
    function _finalise(uint256[] memory lines, uint64 round) private returns (bytes32[] memory proof) {
        while (clock.round() <= round) {
            _settle(players, lines);
        }
        settlement.openEpoch();
        proof = _proof(players, lines, 0);
    }

    function test_badStandingIsGroundForEjection() public {
        bytes32 peer = players[0].peerKey;
        uint256[] memory lines = _mixed(99, 2);
        bytes32[] memory proof = _finalise(lines, 2);
        _refused(Reputation.LineRejected.selector); // a root that may still be challenged takes nobody out
        reputation.eject(peer, lines[0], proof);
        _pass(1000);
        reputation.eject(peer, lines[0], proof);
        _equal(clock.standing(peer).barredUntilRound, 8);
        require(!clock.isMember(peer, 4));
        _refused(Reputation.NotEnrolled.selector);
        reputation.eject(peer, lines[0], proof);
        vm.prank(players[0].wallet);
        _refused(Membership.StillBarred.selector);
        clock.enrol(peer);
        for (uint256 i = 0; i < 5; ++i) {
            _advance();
        }
        _enrol(players[0]);
        _refused(Reputation.MemberInGoodStanding.selector); // it came back, and may mend
        reputation.eject(peer, lines[0], proof);
        vm.prank(players[0].wallet);
        clock.resign(peer);
        _advance();
        _enrol(players[0]); // leaving and coming again gives no more time
        _equal(clock.standing(peer).readmittedRound, 9);
    }

    function test_theTimeToMendIsLimited() public {
        bytes32 peer = players[0].peerKey;
        uint256[] memory lines = _mixed(99, 2);
        bytes32[] memory proof = _finalise(lines, 2);
        _pass(1000);
        reputation.eject(peer, lines[0], proof);
        for (uint256 i = 0; i < 5; ++i) {
            _advance();
        }
        _enrol(players[0]);
        for (uint256 i = 0; i < 3; ++i) {
            _advance();
        }
        proof = _finalise(lines, 12);
        _pass(1000);
        reputation.eject(peer, lines[0], proof);
        require(clock.standing(peer).barredUntilRound == 18);
    }

    function test_absenceIsGroundForEjectionWithoutABar() public {
        bytes32 peer = players[0].peerKey;
        uint256[] memory lines = _mixed(500, 1);
        bytes32[] memory proof = _finalise(lines, 3);
        _pass(1000);
        _refused(Reputation.MemberInGoodStanding.selector);
        reputation.eject(peer, lines[0], proof);
        proof = _finalise(lines, 5);
        _pass(1000);
        reputation.eject(peer, lines[0], proof);
        require(!clock.isMember(peer, 7) && clock.standing(peer).barredUntilRound == 0);
        _enrol(players[0]);
        _refused(Reputation.MemberInGoodStanding.selector);
        reputation.eject(peer, lines[0], proof);
    }
}
