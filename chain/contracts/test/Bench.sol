// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Contributions} from "../Contributions.sol";
import {DataRequests} from "../DataRequests.sol";
import {DisputeGame} from "../DisputeGame.sol";
import {Equivocation} from "../Equivocation.sol";
import {PeerRegistry} from "../PeerRegistry.sol";
import {Reputation} from "../Reputation.sol";
import {RoundClock} from "../RoundClock.sol";
import {RunFactory} from "../RunFactory.sol";
import {RunContracts, Rules, Signature, WEI_PER_MICRO} from "../RunTypes.sol";
import {Settlement} from "../Settlement.sol";
import {StakeVault} from "../StakeVault.sol";
import {SwarmBase} from "../SwarmBase.sol";
import {SwarmCourts} from "../SwarmCourts.sol";
import {SwarmDeployment} from "../SwarmDeployment.sol";
import {SwarmToken} from "../SwarmToken.sol";

/// @dev The cheat codes of forge that these tests use.
interface Vm {
    struct Wallet {
        address addr;
        uint256 publicKeyX;
        uint256 publicKeyY;
        uint256 privateKey;
    }

    function createWallet(uint256 privateKey) external returns (Wallet memory);
    function sign(uint256 privateKey, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function addr(uint256 privateKey) external pure returns (address);
    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function warp(uint256 timestamp) external;
    function roll(uint256 blockNumber) external;
    function prevrandao(bytes32 value) external;
    function setBlockhash(uint256 blockNumber, bytes32 value) external;
    function etch(address target, bytes calldata code) external;
    function expectPartialRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function assume(bool condition) external pure;
    function getBlockNumber() external view returns (uint256);
    function getBlockTimestamp() external view returns (uint256);
}

/// @dev A chain with one run, peers with real keys, and results that they really signed.
abstract contract Bench {
    struct Player {
        uint256 secret;
        address signer;
        address wallet;
        bytes32 peerKey;
        bytes peerId;
    }

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address internal constant CREATOR = address(0xC0FFEE);
    address internal constant STRANGER = address(0x57A);
    bytes32 internal constant RUN_ID = keccak256("run");
    uint256 internal constant SUPPLY_WEI = 1_000_000 ether;
    uint256 internal constant BUDGET_MICRO = 1_000e6;
    uint256 internal constant CREDIT = 1e6;

    PeerRegistry internal registry;
    SwarmToken internal token;
    RunFactory internal factory;
    RoundClock internal clock;
    Contributions internal contributions;
    Settlement internal settlement;
    StakeVault internal vault;
    Reputation internal reputation;
    Equivocation internal equivocation;
    DisputeGame internal disputes;
    DataRequests internal requests;

    function setUp() public virtual {
        vm.roll(100);
        vm.warp(1_800_000_000);
        vm.prevrandao(bytes32(uint256(1)));
        SwarmBase base = new SwarmBase(address(this), SUPPLY_WEI);
        SwarmDeployment deployment = new SwarmDeployment(base, new SwarmCourts(base));
        registry = deployment.REGISTRY();
        token = deployment.TOKEN();
        factory = deployment.FACTORY();
        token.transfer(CREATOR, SUPPLY_WEI / 2);
        _createRun(RUN_ID, _rules());
    }

    function _rules() internal pure virtual returns (Rules memory) {
        return Rules({
            roundS: 100,
            startMembers: 3,
            absenceRounds: 2,
            quorumSize: 24,
            posterS: 10,
            epochRounds: 2,
            challengeS: 1000,
            disputeS: 500,
            unbondingS: 5000,
            answerS: 700,
            barredRounds: 5,
            minStakeMicro: 10 * CREDIT,
            bondMicro: 50 * CREDIT,
            roundEmissionMicro: 100 * CREDIT,
            traceS: 300,
            moveS: 100,
            disputeBondMicro: 5 * CREDIT
        });
    }

    function _modelHash() internal pure virtual returns (bytes32) {
        return keccak256("model");
    }

    function _createRun(bytes32 runId, Rules memory rules) internal returns (RunContracts memory run) {
        vm.startPrank(CREATOR);
        token.approve(address(factory), BUDGET_MICRO * WEI_PER_MICRO);
        run = factory.createRun(runId, _modelHash(), keccak256("task"), "a run", rules, BUDGET_MICRO);
        vm.stopPrank();
        clock = RoundClock(run.clock);
        contributions = Contributions(run.contributions);
        settlement = Settlement(run.settlement);
        vault = StakeVault(run.vault);
        reputation = Reputation(run.reputation);
        equivocation = Equivocation(run.equivocation);
        disputes = DisputeGame(run.disputes);
        requests = DataRequests(run.requests);
    }

    function _player(uint256 number) internal returns (Player memory player) {
        Vm.Wallet memory key = vm.createWallet(uint256(keccak256(abi.encode("peer", number))));
        player.secret = key.privateKey;
        player.signer = key.addr;
        player.wallet = vm.addr(uint256(keccak256(abi.encode("wallet", number))));
        player.peerId = abi.encodePacked(bytes6(0x002508021221), uint8(2 + (key.publicKeyY & 1)), key.publicKeyX);
        player.peerKey = keccak256(player.peerId);
    }

    function _register(uint256 number) internal returns (Player memory player) {
        player = _player(number);
        Vm.Wallet memory key = vm.createWallet(player.secret);
        Signature memory proof = _registration(player, player.secret, player.signer, player.wallet, 0);
        vm.prank(player.wallet);
        registry.registerSecp256k1(bytes32(key.publicKeyX), bytes32(key.publicKeyY), 0, proof.r, proof.vs);
    }

    function _registration(Player memory player, uint256 secret, address signer, address wallet, uint256 nonce)
        internal
        view
        returns (Signature memory)
    {
        return _sign(secret, registry.registrationDigest(player.peerId, signer, wallet, nonce));
    }

    /// @dev From now on the account of `secret` signs for the peer, in the place of its first one.
    function _signFrom(Player memory player, uint256 secret) internal {
        address signer = vm.addr(secret);
        Signature memory proof = _registration(player, secret, signer, player.wallet, 1);
        vm.prank(player.wallet);
        registry.rotateSigner(player.peerKey, signer, 1, proof.r, proof.vs);
    }

    function _stake(Player memory player, uint256 amountWei) internal {
        token.transfer(player.wallet, amountWei);
        vm.startPrank(player.wallet);
        token.approve(address(vault), amountWei);
        vault.deposit(player.peerKey, amountWei, 0);
        vm.stopPrank();
    }

    function _enrol(Player memory player) internal {
        vm.prank(player.wallet);
        clock.enrol(player.peerKey);
    }

    /// @dev Register, stake `units` times the minimum, enrol: peers number `first` to `first + count - 1`.
    function _join(uint256 first, uint256 count, uint256 units) internal returns (Player[] memory players) {
        players = new Player[](count);
        for (uint256 i = 0; i < count; ++i) {
            players[i] = _register(first + i);
            if (units != 0) _stake(players[i], units * 10 ether);
            _enrol(players[i]);
        }
    }

    function _sign(uint256 secret, bytes32 digest) internal pure returns (Signature memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, digest);
        return Signature(r, bytes32(uint256(s) | (uint256(v - 27) << 255)));
    }

    function _result(uint64 round, bytes32 root, uint256 totalMicro)
        internal
        view
        returns (Contributions.RoundResult memory)
    {
        return Contributions.RoundResult({
            round: round,
            contributionsRoot: keccak256(abi.encode("contributions", round)),
            dataHash: keccak256(abi.encode("table", root)),
            previousCreditsRoot: contributions.creditsRoot(),
            creditsRoot: root,
            totalMicroCredits: totalMicro
        });
    }

    /// @dev Everybody's signature over `result`, ordered by account.
    function _signatures(Contributions.RoundResult memory result, Player[] memory players)
        internal
        view
        returns (Signature[] memory signatures)
    {
        bytes32 digest = contributions.resultDigest(result);
        Player[] memory ordered = _ordered(players);
        signatures = new Signature[](ordered.length);
        for (uint256 i = 0; i < ordered.length; ++i) {
            signatures[i] = _sign(ordered[i].secret, digest);
        }
    }

    function _post(Contributions.RoundResult memory result, Player memory poster, Player[] memory players) internal {
        Signature[] memory signatures = _signatures(result, players);
        vm.prank(poster.wallet);
        contributions.post(result, poster.peerKey, signatures);
    }

    /// @dev Post a result of the current round with the credits of one line per player, signed by all of them.
    function _settle(Player[] memory players, uint256[] memory lines) internal returns (bytes32 root) {
        root = _root(players, lines);
        uint256 total;
        for (uint256 i = 0; i < lines.length; ++i) {
            total += lines[i] >> 192;
        }
        _post(_result(clock.round(), root, total), players[0], players);
    }

    function _ordered(Player[] memory players) internal pure returns (Player[] memory ordered) {
        ordered = new Player[](players.length);
        for (uint256 i = 0; i < players.length; ++i) {
            uint256 place = i;
            while (place > 0 && ordered[place - 1].signer > players[i].signer) {
                ordered[place] = ordered[place - 1];
                --place;
            }
            ordered[place] = players[i];
        }
    }

    function _some(Player[] memory players, uint256 mask) internal pure returns (Player[] memory chosen) {
        uint256 count;
        chosen = new Player[](players.length);
        for (uint256 i = 0; i < players.length; ++i) {
            if (mask >> i & 1 == 1) chosen[count++] = players[i];
        }
        assembly ("memory-safe") {
            mstore(chosen, count)
        }
    }

    function _line(uint256 micro, uint256 standing, uint256 lastRound) internal pure returns (uint256) {
        return micro << 192 | standing << 176 | lastRound << 136;
    }

    /// @dev A line of `micro` for each player, and the credits of all of them.
    function _lines(uint256 count, uint256 micro) internal pure returns (uint256[] memory lines) {
        lines = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            lines[i] = _line(micro, 500, 1);
        }
    }

    function _leaf(bytes32 peerKey, uint256 line) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(peerKey, line))));
    }

    function _root(Player[] memory players, uint256[] memory lines) internal pure returns (bytes32 root) {
        (root,) = _tree(players, lines, 0);
    }

    function _proof(Player[] memory players, uint256[] memory lines, uint256 index)
        internal
        pure
        returns (bytes32[] memory proof)
    {
        (, proof) = _tree(players, lines, index);
    }

    /// @dev Root over all lines, and the proof of line `index`; a node without a partner goes up as it is.
    function _tree(Player[] memory players, uint256[] memory lines, uint256 index)
        private
        pure
        returns (bytes32, bytes32[] memory proof)
    {
        bytes32[] memory nodes = new bytes32[](lines.length);
        for (uint256 i = 0; i < lines.length; ++i) {
            nodes[i] = _leaf(players[i].peerKey, lines[i]);
        }
        proof = new bytes32[](16);
        uint256 depth;
        uint256 count = nodes.length;
        while (count > 1) {
            uint256 partner = index ^ 1;
            if (partner < count) proof[depth++] = nodes[partner];
            for (uint256 i = 0; i < count; i += 2) {
                nodes[i / 2] = i + 1 < count ? _pair(nodes[i], nodes[i + 1]) : nodes[i];
            }
            index /= 2;
            count = (count + 1) / 2;
        }
        assembly ("memory-safe") {
            mstore(proof, depth)
        }
        return (nodes[0], proof);
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }

    /// @dev Blocks and time go on. The cheat code's own view of the time: the optimizer takes the opcode for a constant.
    function _pass(uint256 seconds_) internal {
        vm.warp(vm.getBlockTimestamp() + seconds_);
        vm.roll(vm.getBlockNumber() + 1);
    }

    function _advance() internal {
        _pass(100);
        clock.advance(clock.round());
    }

    function _refused(bytes4 selector) internal {
        vm.expectPartialRevert(selector);
    }

    function _equal(uint256 actual, uint256 expected) internal pure {
        require(actual == expected, string.concat(_text(actual), " instead of ", _text(expected)));
    }

    function _text(uint256 value) private pure returns (string memory) {
        bytes memory reversed = new bytes(78);
        uint256 length;
        do {
            reversed[length++] = bytes1(uint8(48 + value % 10));
            value /= 10;
        } while (value != 0);
        bytes memory text = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            text[i] = reversed[length - 1 - i];
        }
        return string(text);
    }
}
