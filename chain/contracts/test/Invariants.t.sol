// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Contributions} from "../Contributions.sol";
import {Epochs} from "../Epochs.sol";
import {WEI_PER_MICRO, Signature} from "../RunTypes.sol";
import {Settlement} from "../Settlement.sol";
import {Bench} from "./Bench.sol";
import {Targets} from "./Targets.sol";

/// @dev Everything that anybody can do to a run, in any order, by five members, a creator and a stranger. The credits that
/// are signed add up; what is not due is refused, and refusals are ignored: the order is the point.
contract Handler is Bench {
    uint256 private constant NUM = 5;
    address private constant CHALLENGER = address(0xBAD);

    Player[] internal players;
    mapping(bytes32 root => uint256[]) private _tables;
    uint256 public claimedMicro;
    uint256 public burnedWei;
    mapping(uint256 player => uint256) public depositedWei;
    mapping(uint256 player => uint256) public slashedWei;
    mapping(uint256 player => uint256) public withdrawnWei;
    uint256 public bondsWei;
    uint256 private _equivocations;

    constructor() {
        Bench.setUp();
        Player[] memory joined = _join(0, NUM, 2);
        for (uint256 i = 0; i < NUM; ++i) {
            players.push(joined[i]);
            depositedWei[i] = 20 ether;
        }
        token.transfer(CHALLENGER, 10_000 ether);
        for (uint256 i = 0; i < NUM; ++i) {
            _tables[0].push(0);
        }
    }

    function setUp() public override {}

    // --- what anybody can do

    function post(uint256 mask, uint256[5] memory earned, uint8 back, bool quick) external {
        uint64 round = clock.round();
        if (!quick) _pass(1000); // everybody is asked by then
        round = round > back % 3 ? round - back % 3 : round;
        uint256[] memory lines = new uint256[](NUM);
        uint256 total;
        for (uint256 i = 0; i < NUM; ++i) {
            uint256 micro = (_tables[contributions.creditsRoot()][i] >> 192) + earned[i] % (19 * CREDIT);
            lines[i] = _line(micro, 500, round);
            total += micro;
        }
        bytes32 root = _root(players, lines);
        Contributions.RoundResult memory result = _result(round, root, total);
        Player[] memory signers = _members(mask | 7, round);
        Player memory poster = signers.length == 0 ? players[0] : signers[mask % signers.length];
        Signature[] memory signatures = _signatures(result, signers);
        vm.prank(poster.wallet);
        try contributions.post(result, poster.peerKey, signatures) {
            _tables[root] = lines;
        } catch {}
    }

    function advance() external {
        _pass(100);
        try clock.advance(clock.round()) {} catch {}
    }

    function pass(uint16 seconds_) external {
        _pass(seconds_ % 2000);
    }

    function openEpoch() external {
        try settlement.openEpoch() {} catch {}
    }

    function challenge() external {
        vm.startPrank(CHALLENGER);
        token.approve(address(vault), 50 ether);
        try settlement.challenge(_last()) {
            bondsWei += 50 ether;
        } catch {}
        vm.stopPrank();
    }

    function affirm(uint256 mask) external {
        if (settlement.numEpochs() == 0) return;
        Epochs.EpochView memory epoch = settlement.epochs(_last());
        Contributions.RoundResult memory result = _result(epoch.round, epoch.creditsRoot, epoch.totalMicro);
        Signature[] memory signatures = _signatures(result, _members(mask, epoch.round));
        try settlement.affirm(_last(), result, signatures) {
            if (settlement.epochs(_last()).state == Epochs.EpochState.Final) {
                bondsWei -= 50 ether;
                burnedWei += 50 ether;
            }
        } catch {}
    }

    function voidEpoch() public {
        try settlement.voidEpoch(_last()) {
            bondsWei -= 50 ether;
        } catch {}
    }

    function claim(uint256 player, uint256 epoch) public {
        if (settlement.numEpochs() == 0) return;
        player %= NUM;
        epoch %= settlement.numEpochs();
        uint256[] memory lines = _tables[settlement.epochs(epoch).creditsRoot];
        bytes32 peer = players[player].peerKey;
        uint256 before = settlement.claimedMicro(peer);
        try settlement.claim(peer, lines[player], epoch, _proof(players, lines, player)) {
            claimedMicro += settlement.claimedMicro(peer) - before;
        } catch {}
    }

    function deposit(uint256 player, uint256 amount) external {
        player %= NUM;
        amount = amount % 50 ether + 1;
        _stake(players[player], amount);
        depositedWei[player] += amount;
    }

    function requestExit(uint256 player, uint256 amount) public {
        player %= NUM;
        (uint256 active,,) = vault.stakeOf(players[player].peerKey);
        vm.prank(players[player].wallet);
        try vault.requestExit(players[player].peerKey, amount % (active + 1), 0) {} catch {}
    }

    function withdraw(uint256 player) public {
        player %= NUM;
        uint256 before = token.balanceOf(address(vault));
        try vault.withdraw(players[player].peerKey) {
            withdrawnWei[player] += before - token.balanceOf(address(vault));
        } catch {}
    }

    function slash(uint256 player, uint256 amount) external {
        player %= NUM;
        vm.prank(address(equivocation));
        uint256 taken = vault.slash(players[player].peerKey, amount % 30 ether, STRANGER);
        slashedWei[player] += taken;
        burnedWei += taken - taken / 2;
    }

    function enrol(uint256 player) external {
        player %= NUM;
        vm.prank(players[player].wallet);
        try clock.enrol(players[player].peerKey) {} catch {}
    }

    function resign(uint256 player) external {
        player %= NUM;
        vm.prank(players[player].wallet);
        try clock.resign(players[player].peerKey) {} catch {}
    }

    function refresh(uint256 player) external {
        try clock.refresh(players[player % NUM].peerKey) {} catch {}
    }

    function prune(uint256 player) external {
        try clock.prune(players[player % NUM].peerKey) {} catch {}
    }

    function stop(uint8 dice) external {
        if (dice % 8 != 0) return;
        vm.prank(CREATOR);
        try settlement.stop() {} catch {}
    }

    function reclaim() public {
        try settlement.reclaim() {} catch {}
    }

    // --- what must hold

    function checkMoney() external view {
        _equal(token.totalSupply(), SUPPLY_WEI - burnedWei);
        uint256 sum = token.balanceOf(address(this)) + token.balanceOf(CREATOR) + token.balanceOf(STRANGER);
        sum += token.balanceOf(CHALLENGER) + token.balanceOf(address(vault)) + token.balanceOf(address(settlement));
        uint256 staked;
        uint256 total;
        for (uint256 i = 0; i < NUM; ++i) {
            sum += token.balanceOf(players[i].wallet);
            (uint256 activeWei, uint256 exitingWei,) = vault.stakeOf(players[i].peerKey);
            _equal(activeWei + exitingWei, depositedWei[i] - slashedWei[i] - withdrawnWei[i]);
            staked += activeWei + exitingWei;
            uint256 micro = settlement.claimedMicro(players[i].peerKey);
            _equal(token.balanceOf(players[i].wallet), micro * WEI_PER_MICRO + withdrawnWei[i]);
            total += micro;
        }
        _equal(sum, token.totalSupply());
        _equal(token.balanceOf(address(vault)), staked + bondsWei);
        _equal(total, claimedMicro);
        (, , bool reclaimed) = settlement.escrow();
        uint256 balance = token.balanceOf(address(settlement));
        if (!reclaimed) _equal(balance, (BUDGET_MICRO - claimedMicro) * WEI_PER_MICRO);
    }

    function checkPayIsWhatWasGranted() external view {
        uint256[] memory granted = new uint256[](NUM);
        for (uint256 e = 0; e < settlement.numEpochs(); ++e) {
            Epochs.EpochView memory epoch = settlement.epochs(e);
            if (epoch.state != Epochs.EpochState.Final) continue;
            for (uint256 i = 0; i < NUM; ++i) {
                uint256 micro = _tables[epoch.creditsRoot][i] >> 192;
                if (micro > granted[i]) granted[i] = micro;
            }
        }
        for (uint256 i = 0; i < NUM; ++i) {
            require(settlement.claimedMicro(players[i].peerKey) <= granted[i], "paid more than granted");
        }
    }

    function checkMembers() external view {
        uint64 current = clock.round();
        for (uint64 round = current > 3 ? current - 3 : 0; round <= current + 1; ++round) {
            uint256 weight;
            uint256 count;
            for (uint256 i = 0; i < NUM; ++i) {
                uint256 own = clock.weightOf(players[i].peerKey, round);
                weight += own;
                if (own != 0) ++count;
            }
            _equal(clock.totalWeight(round), weight);
            _equal(clock.numMembers(round), count);
        }
        require(contributions.settledRound() <= current);
        for (uint256 i = 0; i < NUM; ++i) {
            (uint256 activeWei,,) = vault.stakeOf(players[i].peerKey);
            require(clock.weightOf(players[i].peerKey, current + 1) <= activeWei / 10 ether, "weighs more than its stake");
        }
    }

    /// @dev Whatever happened before: stake, bonds, pay and the rest of the budget all come out.
    function rescue() external {
        _pass(1000 days);
        voidEpoch();
        vm.prank(CREATOR);
        try settlement.stop() {} catch {}
        _pass(1000 days);
        try settlement.openEpoch() {} catch {}
        _pass(1000 days);
        (bool found, uint256 epoch) = settlement.latestClaimable();
        for (uint256 i = 0; i < NUM; ++i) {
            if (found) this.claim(i, epoch);
            (uint256 activeWei,,) = vault.stakeOf(players[i].peerKey);
            if (activeWei != 0) this.requestExit(i, activeWei);
        }
        _pass(1000 days);
        for (uint256 i = 0; i < NUM; ++i) {
            this.withdraw(i);
        }
        reclaim();
        (, , bool reclaimed) = settlement.escrow();
        require(reclaimed, "the budget is locked");
        _equal(token.balanceOf(address(vault)), 0);
        _equal(token.balanceOf(address(settlement)), 0);
    }

    function _members(uint256 mask, uint64 round) private view returns (Player[] memory) {
        for (uint256 i = 0; i < NUM; ++i) {
            if (clock.weightOf(players[i].peerKey, round) == 0) mask &= ~(1 << i);
        }
        return _some(players, mask);
    }

    function _last() private view returns (uint256) {
        uint256 count = settlement.numEpochs();
        return count == 0 ? 0 : count - 1;
    }
}

contract InvariantsTest is Targets {
    Handler private _handler;

    function setUp() public {
        _handler = new Handler();
        _target = address(_handler);
        _actions = [
            Handler.post.selector,
            Handler.post.selector,
            Handler.post.selector,
            Handler.advance.selector,
            Handler.pass.selector,
            Handler.openEpoch.selector,
            Handler.openEpoch.selector,
            Handler.challenge.selector,
            Handler.affirm.selector,
            Handler.voidEpoch.selector,
            Handler.claim.selector,
            Handler.claim.selector,
            Handler.deposit.selector,
            Handler.requestExit.selector,
            Handler.withdraw.selector,
            Handler.slash.selector,
            Handler.enrol.selector,
            Handler.resign.selector,
            Handler.refresh.selector,
            Handler.prune.selector,
            Handler.stop.selector,
            Handler.reclaim.selector
        ];
    }

    function invariant_moneyIsConserved() public view {
        _handler.checkMoney();
        _handler.checkPayIsWhatWasGranted();
        _handler.checkMembers();
    }

    function afterInvariant() public {
        _handler.rescue();
    }

    /// @dev The handler's calls do succeed when they are due: what holds above holds for more than refusals.
    function test_theActionsReachEveryState() public {
        uint256[5] memory earned = [uint256(1e6), 2e6, 3e6, 4e6, 5e6];
        _handler.post(31, earned, 0, false);
        _handler.post(31, earned, 0, false);
        _handler.openEpoch();
        _handler.challenge();
        require(_handler.bondsWei() != 0, "no challenge");
        _handler.affirm(31);
        require(_handler.burnedWei() != 0 && _handler.bondsWei() == 0, "no answer");
        _handler.pass(1999);
        _handler.pass(1999);
        _handler.claim(4, 0);
        require(_handler.claimedMicro() == 10e6, "no claim");
        _handler.post(31, earned, 0, false);
        _handler.post(31, earned, 0, false);
        _handler.openEpoch();
        _handler.challenge();
        _handler.pass(1999);
        _handler.voidEpoch();
        require(_handler.bondsWei() == 0 && _handler.burnedWei() == 50 ether, "no return of the bond");
        _handler.requestExit(0, 5 ether);
        _handler.slash(0, 2 ether);
        require(_handler.slashedWei(0) == 2 ether, "no slash");
        for (uint256 i = 0; i < 3; ++i) {
            _handler.pass(1999);
        }
        _handler.withdraw(0);
        require(_handler.withdrawnWei(0) == 5 ether, "no withdrawal");
        _handler.checkMoney();
        _handler.rescue();
    }
}
