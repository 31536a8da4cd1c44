// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {DisputeGame} from "../DisputeGame.sol";
import {Phase} from "../dispute/GameTypes.sol";
import {Bench} from "./Bench.sol";
import {GameBench} from "./GameBench.sol";
import {Targets} from "./Targets.sol";

/// @dev Three members and two accusers who open games about right and wrong work, play them in any order, miss deadlines,
/// and move stake in between. What is not due is refused, and refusals are ignored.
contract GameHandler is GameBench {
    uint256 private constant NUM = 3;
    address private constant FINDER = address(0xF1D);
    address private constant OTHER = address(0x0DD);

    Player[] private players;
    bytes[] private _tables;
    uint256 public opened;
    uint256 public convictions;
    uint256 public acquittals;
    uint256 public burnedWei;
    uint256 public openGames;
    mapping(uint256 player => uint256) public holds;
    mapping(uint256 player => uint256) public depositedWei;
    mapping(uint256 player => uint256) public slashedWei;
    mapping(uint256 player => uint256) public withdrawnWei;
    mapping(uint256 player => uint256) public awardedWei;
    mapping(bytes32 game => uint256 player) private _accusedOf;

    constructor() {
        Bench.setUp();
        Player[] memory joined = _join(0, NUM, 2);
        for (uint256 i = 0; i < NUM; ++i) {
            players.push(joined[i]);
            depositedWei[i] = 20 ether;
        }
        token.transfer(FINDER, 10_000 ether);
        token.transfer(OTHER, 10_000 ether);
    }

    function setUp() public override {}

    // --- what anybody can do

    function accuse(uint256 player, bool honest, bool other) external {
        player %= NUM;
        Table memory table = _open(players[player], opened++, other ? OTHER : FINDER, honest);
        _accusedOf[table.id] = player;
        ++holds[player];
        ++openGames;
        _tables.push(abi.encode(table));
    }

    /// @dev The next move of a game, whosever turn it is, unless its deadline has passed.
    function move(uint256 game, bool child) public {
        if (_tables.length == 0) return;
        game %= _tables.length;
        Table memory table = abi.decode(_tables[game], (Table));
        DisputeGame.Status memory status = disputes.status(table.id);
        if (status.isDecided || vm.getBlockTimestamp() > status.deadline) return;
        if (status.phase == Phase.Trace) _postTrace(table);
        else if (status.phase == Phase.Pick) _pick(table, child ? 1 : 0);
        else if (status.phase == Phase.Chunk) _revealChunk(table);
        else if (status.phase == Phase.Element) _pickElement(table);
        else if (table.state.number == 1) _leaf(table);
        else _leafData(table);
        _tables[game] = abi.encode(table);
        _book(table);
    }

    function expire(uint256 game) public {
        if (_tables.length == 0) return;
        game %= _tables.length;
        Table memory table = abi.decode(_tables[game], (Table));
        try disputes.expire(table.id, table.state) {
            _book(table);
        } catch {}
    }

    /// @dev A move out of turn, of another kind, in another state: nothing changes.
    function disturb(uint256 game, uint256 sender, uint64 junk) external {
        if (_tables.length == 0) return;
        Table memory table = abi.decode(_tables[game % _tables.length], (Table));
        bytes32 before = disputes.stateHash(table.id);
        if (junk % 2 == 1) table.state.index = junk;
        vm.startPrank(sender % 3 == 0 ? STRANGER : sender % 3 == 1 ? table.challenger : table.accused.wallet);
        try disputes.reveal(table.id, table.state, new bytes32[](junk % 4)) {} catch {}
        try disputes.revealParts(table.id, table.state, new int256[](junk % 4)) {} catch {}
        try disputes.pickPart(table.id, table.state, junk, new int256[](junk % 4)) {} catch {}
        try disputes.revealChunk(table.id, table.state, abi.encode(junk)) {} catch {}
        try disputes.leafStep(table.id, table.state, _sumNode(), _noStep()) {} catch {}
        vm.stopPrank();
        require(disputes.stateHash(table.id) == before, "a bad move changed the game");
    }

    function pass(uint8 seconds_) external {
        _pass(seconds_);
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
            require(holds[player] == 0, "withdrawn during a game");
            withdrawnWei[player] += before - token.balanceOf(address(vault));
        } catch {}
    }

    // --- what must hold

    function check() external view {
        _equal(token.totalSupply(), SUPPLY_WEI - burnedWei);
        uint256 staked;
        uint256 sum = token.balanceOf(address(this)) + token.balanceOf(CREATOR) + token.balanceOf(FINDER);
        sum += token.balanceOf(OTHER) + token.balanceOf(address(vault)) + token.balanceOf(address(settlement));
        uint256 slashed;
        for (uint256 i = 0; i < NUM; ++i) {
            (uint256 activeWei, uint256 exitingWei,) = vault.stakeOf(players[i].peerKey);
            _equal(activeWei + exitingWei, depositedWei[i] - slashedWei[i] - withdrawnWei[i]);
            _equal(token.balanceOf(players[i].wallet), withdrawnWei[i] + awardedWei[i]);
            _equal(vault.holdsOf(players[i].peerKey), holds[i]);
            (uint256 held,) = settlement.pending(players[i].peerKey);
            _equal(held, holds[i]);
            staked += activeWei + exitingWei;
            slashed += slashedWei[i];
            sum += token.balanceOf(players[i].wallet);
        }
        _equal(sum, token.totalSupply());
        _equal(token.balanceOf(address(vault)), staked + openGames * 5 ether);
        uint256 accusers = token.balanceOf(FINDER) + token.balanceOf(OTHER);
        // Rewards are what was slashed and not burned; lost bonds are burned and awarded by halves.
        uint256 rewardsWei = slashed - (burnedWei - acquittals * 2.5 ether);
        _equal(accusers + openGames * 5 ether + acquittals * 5 ether, 20_000 ether + rewardsWei);
    }

    /// @dev Whatever happened before: every game ends, and stake and bonds come out.
    function rescue() external {
        _pass(1000);
        for (uint256 i = 0; i < _tables.length; ++i) {
            expire(i);
        }
        _equal(openGames, 0);
        for (uint256 i = 0; i < NUM; ++i) {
            (uint256 activeWei,,) = vault.stakeOf(players[i].peerKey);
            if (activeWei != 0) this.requestExit(i, activeWei);
        }
        _pass(1000 days);
        for (uint256 i = 0; i < NUM; ++i) {
            this.withdraw(i);
        }
        _equal(token.balanceOf(address(vault)), 0);
    }

    function _leafData(Table memory table) private {
        vm.prank(table.challenger);
        disputes.leafData(table.id, table.state, _dataNode(), _shownData());
    }

    /// @dev Keep account of a game that may be over by now.
    function _book(Table memory table) private {
        DisputeGame.Status memory status = disputes.status(table.id);
        if (!status.isDecided) return;
        uint256 player = _accusedOf[table.id];
        --holds[player];
        --openGames;
        if (status.challengerWon) {
            ++convictions;
            (uint256 activeWei, uint256 exitingWei,) = vault.stakeOf(players[player].peerKey);
            _equal(activeWei + exitingWei, 0);
            uint256 taken = depositedWei[player] - slashedWei[player] - withdrawnWei[player];
            slashedWei[player] += taken;
            burnedWei += taken - taken / 2;
        } else {
            ++acquittals;
            awardedWei[player] += 2.5 ether;
            burnedWei += 2.5 ether;
        }
    }
}

contract GameInvariantsTest is Targets {
    GameHandler private _handler;

    function setUp() public {
        _handler = new GameHandler();
        _target = address(_handler);
        _actions = [
            GameHandler.accuse.selector,
            GameHandler.move.selector,
            GameHandler.move.selector,
            GameHandler.move.selector,
            GameHandler.move.selector,
            GameHandler.move.selector,
            GameHandler.expire.selector,
            GameHandler.disturb.selector,
            GameHandler.pass.selector,
            GameHandler.deposit.selector,
            GameHandler.requestExit.selector,
            GameHandler.withdraw.selector
        ];
    }

    /// forge-config: default.invariant.runs = 12
    function invariant_stakesAndBondsAreConserved() public view {
        _handler.check();
    }

    function afterInvariant() public {
        _handler.rescue();
    }

    /// @dev The handler's calls do succeed when they are due: what holds above holds for more than refusals.
    function test_theActionsReachEveryEnd() public {
        _handler.accuse(0, false, false);
        _handler.accuse(1, true, true);
        for (uint256 i = 0; i < 5; ++i) {
            _handler.move(0, true);
            _handler.move(1, i % 2 == 0);
        }
        require(_handler.convictions() == 1 && _handler.acquittals() == 1, "no ends");
        _handler.accuse(2, true, false);
        _handler.move(2, false);
        _handler.pass(101);
        _handler.expire(2);
        require(_handler.acquittals() == 2, "no end by the clock");
        _handler.check();
        _handler.rescue();
    }
}
