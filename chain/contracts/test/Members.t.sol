// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Equivocation} from "../Equivocation.sol";
import {Membership} from "../Membership.sol";
import {Reputation} from "../Reputation.sol";
import {RoundClock} from "../RoundClock.sol";
import {Signature} from "../RunTypes.sol";
import {StakeVault} from "../StakeVault.sol";
import {Bench} from "./Bench.sol";

contract MembersTest is Bench {
    Player[] private players;

    function setUp() public override {
        super.setUp();
        Player[] memory joined = _join(0, 3, 2);
        for (uint256 i = 0; i < 3; ++i) {
            players.push(joined[i]);
        }
    }

    // --- membership

    function test_weightIsStakeInUnitsUpToEight() public {
        Player memory small = _register(10);
        _stake(small, 10 ether - 1);
        vm.prank(small.wallet);
        _refused(Membership.StakeMissing.selector);
        clock.enrol(small.peerKey);
        _stake(small, 1);
        _enrol(small);
        _equal(clock.weightOf(small.peerKey, 2), 1);
        _equal(clock.weightOf(small.peerKey, 1), 0);
        Player memory whale = _register(11);
        _stake(whale, 1000 ether);
        _enrol(whale);
        _equal(clock.weightOf(whale.peerKey, 2), 8);
        _equal(clock.totalWeight(1), 6);
        _equal(clock.totalWeight(2), 15);
        _equal(clock.numMembers(2), 5);
        require(clock.rosterLength() == 5 && clock.isMember(whale.peerKey, 2) && !clock.isMember(whale.peerKey, 1));
    }

    function test_onlyTheOwnerEnrolsAndResigns() public {
        bytes32 peer = players[0].peerKey;
        _refused(Membership.NotThePeersOwner.selector);
        clock.enrol(peer);
        _refused(Membership.NotThePeersOwner.selector);
        clock.resign(peer);
        vm.startPrank(players[0].wallet);
        clock.enrol(peer);
        _equal(clock.standing(peer).lastRenewedRound, 1);
        clock.resign(peer);
        _refused(Membership.NotEnrolled.selector);
        clock.resign(peer);
        vm.stopPrank();
        _refused(Membership.NotEnrolled.selector);
        clock.refresh(peer);
        _refused(Membership.NotEnrolled.selector);
        clock.prune(peer);
        require(clock.isMember(peer, 1) && !clock.isMember(peer, 2));
        _advance();
        _enrol(players[0]);
        _advance();
        require(clock.isMember(peer, 1) && !clock.isMember(peer, 2) && clock.isMember(peer, 3));
        _equal(clock.rosterLength(), 3);
    }

    function test_membersArePagedThrough() public view {
        Membership.MemberView[] memory page = clock.members(1, 0, 2);
        require(page.length == 2 && page[0].signer == players[0].signer && page[1].weight == 2);
        page = clock.members(1, 2, type(uint256).max);
        require(page.length == 1 && page[0].owner == players[2].wallet && page[0].joinedRound == 1);
        require(keccak256(page[0].peerId) == players[2].peerKey);
        require(clock.members(1, 3, 10).length == 0 && clock.members(0, 0, 10).length == 0);
        require(clock.members(1, type(uint256).max, 10).length == 0);
    }

    function test_moreStakeWeighsAfterARefresh() public {
        _stake(players[0], 25 ether);
        _equal(clock.weightOf(players[0].peerKey, 2), 2);
        clock.refresh(players[0].peerKey);
        _equal(clock.weightOf(players[0].peerKey, 2), 4);
        _equal(clock.weightOf(players[0].peerKey, 1), 2);
        _equal(clock.totalWeight(2), 8);
    }

    function test_aRotatedSignerCountsFromTheNextRoundOn() public {
        Player memory ada = players[0];
        address signer = vm.addr(4711);
        _signFrom(ada, 4711);
        _equal(clock.weightOfSigner(ada.signer, 2), 2);
        clock.refresh(ada.peerKey);
        _equal(clock.weightOfSigner(ada.signer, 1), 2);
        _equal(clock.weightOfSigner(signer, 1), 0);
        _equal(clock.weightOfSigner(ada.signer, 2), 0);
        _equal(clock.weightOfSigner(signer, 2), 2);
        _equal(clock.weightOf(ada.peerKey, 1), 2);
        _equal(clock.weightOf(ada.peerKey, 2), 2);
        _equal(clock.totalWeight(2), 6);
        require(clock.members(1, 0, 1)[0].signer == ada.signer && clock.members(2, 0, 1)[0].signer == signer);
        address[] memory both = new address[](2);
        (both[0], both[1]) = signer < ada.signer ? (signer, ada.signer) : (ada.signer, signer);
        _refused(Membership.NotAMember.selector);
        clock.signedWeight(1, both);
        _refused(Membership.NotAMember.selector);
        clock.signedWeight(2, both);
    }

    function test_whoseKeyWasChangedStillPostsInTheSameRound() public {
        Player memory ada = players[0];
        address signer = vm.addr(4711);
        _signFrom(ada, 4711);
        clock.refresh(ada.peerKey);
        uint256[] memory lines = _lines(3, CREDIT);
        bytes32 root = _root(players, lines);
        _post(_result(1, root, 3 * CREDIT), ada, players);
        _equal(contributions.settledRound(), 1);
    }

    function test_pruningIsForASwarmThatIsStuck() public {
        bytes32 peer = players[2].peerKey;
        for (uint256 i = 0; i < 2; ++i) {
            _advance();
            _refused(Membership.MemberNotAbsent.selector);
            clock.prune(peer);
        }
        vm.prank(players[0].wallet);
        clock.enrol(players[0].peerKey);
        _advance();
        clock.prune(peer);
        require(!clock.isMember(peer, 5));
        bytes32 renewed = players[0].peerKey;
        _refused(Membership.MemberNotAbsent.selector);
        clock.prune(renewed);
        _enrol(players[2]);
        require(clock.isMember(peer, 5));
    }

    function test_nobodyIsPrunedWhereThereAreResults() public {
        _advance();
        _advance();
        _post(_result(3, keccak256("root"), 1), players[0], players);
        bytes32 peer = players[2].peerKey;
        _refused(Membership.MemberNotAbsent.selector);
        clock.prune(peer);
    }

    function test_onlyTheRunsOwnContractsTakeMembersOut() public {
        bytes32 peer = players[0].peerKey;
        _refused(Membership.NotOfThisRun.selector);
        clock.eject(peer, 100);
        _refused(Membership.NotOfThisRun.selector);
        clock.stakeChanged(peer);
    }

    // --- stake

    function test_stakeLeavesAfterTheUnbondingTime() public {
        Player memory ada = players[0];
        _refused(StakeVault.NotThePeersOwner.selector);
        vault.requestExit(ada.peerKey, 1, 0);
        vm.startPrank(ada.wallet);
        _refused(StakeVault.AmountOutOfRange.selector);
        vault.requestExit(ada.peerKey, 0, 0);
        _refused(StakeVault.StakeTooSmall.selector);
        vault.requestExit(ada.peerKey, 20 ether + 1, 0);
        vault.requestExit(ada.peerKey, 15 ether, 0);
        vm.stopPrank();
        require(!clock.isMember(ada.peerKey, 2) && clock.isMember(ada.peerKey, 1));
        (uint256 activeWei, uint256 exitingWei, uint64 readyAt) = vault.stakeOf(ada.peerKey);
        require(activeWei == 5 ether && exitingWei == 15 ether && readyAt == vm.getBlockTimestamp() + 5000);
        _pass(4999);
        _refused(StakeVault.StakeNotReady.selector);
        vault.withdraw(ada.peerKey);
        _pass(1);
        vault.withdraw(ada.peerKey);
        _equal(token.balanceOf(ada.wallet), 15 ether);
        _refused(StakeVault.StakeNotReady.selector);
        vault.withdraw(ada.peerKey);
    }

    function test_lessStakeWeighsLessAtOnce() public {
        vm.prank(players[0].wallet);
        vault.requestExit(players[0].peerKey, 10 ether, 0);
        _equal(clock.weightOf(players[0].peerKey, 2), 1);
        _equal(clock.totalWeight(2), 5);
    }

    function test_aDepositIsMadeOnce() public {
        Player memory ada = players[0];
        token.transfer(ada.wallet, 100 ether);
        _refused(StakeVault.NotThePeersOwner.selector);
        vault.deposit(ada.peerKey, 1, 0);
        vm.startPrank(ada.wallet);
        token.approve(address(vault), type(uint256).max);
        _refused(StakeVault.AmountOutOfRange.selector);
        vault.deposit(ada.peerKey, 0, 0);
        _refused(StakeVault.AmountOutOfRange.selector);
        vault.deposit(ada.peerKey, 1 << 96, 0);
        vault.deposit(ada.peerKey, 1 ether, keccak256("one"));
        _refused(StakeVault.ReferenceUsed.selector);
        vault.deposit(ada.peerKey, 1 ether, keccak256("one"));
        _refused(StakeVault.ReferenceUsed.selector);
        vault.requestExit(ada.peerKey, 1 ether, keccak256("one"));
        vm.stopPrank();
        require(vault.isDone(ada.peerKey, keccak256("one")) && !vault.isDone(ada.peerKey, keccak256("two")));
        (uint256 activeWei,,) = vault.stakeOf(ada.peerKey);
        _equal(activeWei, 21 ether);
    }

    function test_aPermitReplacesTheApproval() public {
        Player memory ada = _register(30);
        uint256 secret = uint256(keccak256(abi.encode("wallet", uint256(30))));
        token.transfer(ada.wallet, 10 ether);
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                ada.wallet,
                address(vault),
                10 ether,
                0,
                type(uint256).max
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, digest);
        token.permit(ada.wallet, address(vault), 10 ether, type(uint256).max, v, r, s); // somebody was faster: no harm
        vm.prank(ada.wallet);
        vault.depositWithPermit(ada.peerKey, 10 ether, 0, type(uint256).max, v, r, s);
        _equal(vault.unitsOf(ada.peerKey), 1);
    }

    function test_nobodyButTheRunsCourtsMovesStakeOrBonds() public {
        bytes32 peer = players[0].peerKey;
        _refused(StakeVault.NotOfThisRun.selector);
        vault.slash(peer, 1, STRANGER);
        _refused(StakeVault.NotOfThisRun.selector);
        vault.holdBond(players[0].wallet, 1);
        _refused(StakeVault.NotOfThisRun.selector);
        vault.returnBond(STRANGER, 1);
        _refused(StakeVault.NotOfThisRun.selector);
        vault.burnBond(STRANGER, 1);
        require(vault.isCourt(address(equivocation)) && !vault.isCourt(address(reputation)));
    }

    function testFuzz_slashedStakeIsGone(uint96 exitWei, uint96 takenWei) public {
        Player memory ada = players[0];
        uint256 exit = uint256(exitWei) % 20 ether;
        if (exit != 0) {
            vm.prank(ada.wallet);
            vault.requestExit(ada.peerKey, exit, 0);
        }
        uint256 taken = uint256(takenWei) % 30 ether;
        uint256 expected = taken < 20 ether ? taken : 20 ether;
        uint256 supply = token.totalSupply();
        vm.prank(address(equivocation));
        _equal(vault.slash(ada.peerKey, taken, STRANGER), expected);
        _equal(token.balanceOf(STRANGER), expected / 2);
        _equal(supply - token.totalSupply(), expected - expected / 2);
        (uint256 activeWei, uint256 exitingWei,) = vault.stakeOf(ada.peerKey);
        _equal(activeWei + exitingWei, 20 ether - expected);
        require(exitingWei <= exit && clock.weightOf(ada.peerKey, 2) <= activeWei / 10 ether);
        if (activeWei != 0) {
            vm.prank(ada.wallet);
            vault.requestExit(ada.peerKey, activeWei, 0);
        }
        _pass(5000);
        if (activeWei + exitingWei != 0) vault.withdraw(ada.peerKey);
        _equal(token.balanceOf(ada.wallet), 20 ether - expected);
    }
}
