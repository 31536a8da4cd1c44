// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Contributions} from "../Contributions.sol";
import {Rules, Signature, WEI_PER_MICRO} from "../RunTypes.sol";
import {Settlement} from "../Settlement.sol";
import {Vm} from "./Bench.sol";
import {GameBench} from "./GameBench.sol";

interface GasVm {
    function snapshotGasLastCall(string calldata name) external returns (uint256);
}

/// @dev What transactions cost, base fee of a transaction and call data included (forge test --isolate). Compared with
/// tests/chain/gas.json by tests/chain/test_contracts.py.
contract GasTest is GameBench {
    GasVm private constant GAS = GasVm(address(vm));
    uint256 private constant NUM = 24;

    function _rules() internal pure override returns (Rules memory rules) {
        rules = super._rules();
        rules.startMembers = uint64(NUM);
        rules.quorumSize = 8;
        rules.minStakeMicro = 10 * CREDIT;
    }

    function _kept(string memory name) private {
        GAS.snapshotGasLastCall(name);
    }

    function _made(string memory move) internal override {
        _kept(move);
    }

    function test_ofEverything() public {
        vm.startPrank(CREATOR);
        token.approve(address(factory), BUDGET_MICRO * WEI_PER_MICRO);
        factory.createRun(keccak256("gas"), keccak256("model"), keccak256("task"), "gas", _rules(), BUDGET_MICRO);
        _kept("createRun");
        vm.stopPrank();

        Player[] memory players = _join(0, NUM - 1, 1);
        Player[] memory all = new Player[](NUM);
        for (uint256 i = 0; i < NUM - 1; ++i) {
            all[i] = players[i];
        }
        all[NUM - 1] = _measureJoining();
        _measureADispute(players[1]);

        uint256[] memory lines = _lines(NUM, CREDIT);
        for (uint64 round = 1; round <= 70; ++round) {
            if (round % 2 == 0) _advanceAndKeep();
            else _postAndKeep(all, lines);
        }
        _settleAndClaim(all, lines);
    }

    function _measureADispute(Player memory accused) private {
        token.transfer(STRANGER, 5 ether);
        Table memory table = _open(accused, 1, STRANGER, true);
        _playToLeaf(table);
        _leaf(table);
        require(_isOver(table, false));
    }

    function _measureJoining() private returns (Player memory player) {
        player = _player(NUM - 1);
        Vm.Wallet memory key = vm.createWallet(player.secret);
        Signature memory proof = _registration(player, player.secret, player.signer, player.wallet, 0);
        token.transfer(player.wallet, 20 ether);
        vm.startPrank(player.wallet);
        registry.registerSecp256k1(bytes32(key.publicKeyX), bytes32(key.publicKeyY), 0, proof.r, proof.vs);
        _kept("registerSecp256k1");
        token.approve(address(vault), 20 ether);
        vault.deposit(player.peerKey, 10 ether, 0);
        _kept("deposit");
        clock.enrol(player.peerKey);
        _kept("enrolAndOpen");
        vm.stopPrank();
    }

    function _advanceAndKeep() private {
        _pass(100);
        clock.advance(clock.round());
        _kept("advance");
        vm.roll(vm.getBlockNumber() + 2);
    }

    /// @dev Everybody is asked by then: 13 signatures.
    function _postAndKeep(Player[] memory all, uint256[] memory lines) private {
        _pass(200);
        Contributions.RoundResult memory result = _result(clock.round(), _root(all, lines), NUM * CREDIT);
        Signature[] memory signatures = _signatures(result, _some(all, 0x1fff));
        vm.prank(all[0].wallet);
        contributions.post(result, all[0].peerKey, signatures);
        _kept("postWith13Signatures");
        vm.roll(vm.getBlockNumber() + 2);
    }

    function _settleAndClaim(Player[] memory all, uint256[] memory lines) private {
        for (uint256 epoch = 0; epoch < 2; ++epoch) {
            lines = _lines(NUM, (epoch + 1) * CREDIT);
            if (epoch == 1) {
                Contributions.RoundResult memory result = _result(clock.round(), _root(all, lines), 2 * NUM * CREDIT);
                _pass(200);
                _post(result, all[0], all);
                _advance();
                _advance();
            }
            settlement.openEpoch();
            _kept("openEpoch");
            _pass(1500);
            bytes32[] memory proof = _proof(all, lines, 3);
            settlement.claim(all[3].peerKey, lines[3], epoch, proof);
            _kept(epoch == 0 ? "claimFirst" : "claim");
            Settlement.ClaimLine[] memory many = new Settlement.ClaimLine[](10);
            for (uint256 i = 0; i < 10; ++i) {
                many[i] = Settlement.ClaimLine(all[4 + i].peerKey, lines[4 + i], _proof(all, lines, 4 + i));
            }
            settlement.claimMany(epoch, many);
            _kept(epoch == 0 ? "claimManyOf10First" : "claimManyOf10");
        }
    }
}
