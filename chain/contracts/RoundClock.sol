// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";
import {Membership} from "./Membership.sol";
import {PeerRegistry} from "./PeerRegistry.sol";

/// @title Which round it is, until when, and what seeds it
/// @notice Nobody owns the clock. A round ends when the ledger records its result, or when anybody calls `advance` after
/// the deadline. Round 0 is the lobby: it has no members, and ends as soon as `START_MEMBERS` have enrolled (or after
/// the deadline with fewer). A later round without members ends in the same way.
/// @dev **Seed.** The seed of a round is the hash of the block after the one that opened it: the sender who opens a round
/// cannot choose it. It can be read from the chain while that block is within reach (256 blocks, or 8191 where EIP-2935
/// is active) and is written down by whatever closes the round, or by anybody through `fixSeed`. If nobody did so in
/// time, the seed is the hash of the previous seed and the round number: predictable, but the same for everyone and not
/// a choice of whoever writes it down. **Known bias:** who produces that block can discard it, at the price of its
/// reward, and so draw again; on a chain with one sequencer, the sequencer can choose among many. Seeds decide
/// questions and draws, not amounts.
contract RoundClock is Membership {
    /// @notice Everything about the current round, at one block.
    struct ClockSnapshot {
        uint64 blockNumber;
        uint64 blockTimestamp;
        uint64 round;
        uint64 openedAt;
        uint64 openedBlock;
        uint64 closesAt;
        uint64 numMembers;
        bytes32 seed;
    }

    /// @notice The only contract that may end a round before its deadline.
    address public immutable LEDGER;
    /// @notice Seconds after which a round may be ended by anybody.
    uint64 public immutable ROUND_S;
    /// @notice Enrolled members that end the lobby at once.
    uint64 public immutable START_MEMBERS;

    /// @dev System contract of EIP-2935; chains without it have no code there.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    uint64 private _round;
    uint64 private _openedAt;
    uint64 private _openedBlock;
    mapping(uint64 round => bytes32) private _seeds;

    /// @notice A round is open. `settled`: the one before it ended with a recorded result, not by the deadline.
    event RoundOpened(uint64 indexed round, uint64 openedAt, uint64 closesAt, uint256 numMembers, bool settled);
    /// @notice The seed of a round is written down for good.
    event SeedFixed(uint64 indexed round, bytes32 seed);

    /// @notice The call was meant for another round.
    error RoundNotCurrent(uint64 current, uint64 given);
    /// @notice The deadline is not reached yet.
    error RoundStillOpen(uint64 round, uint64 closesAt);
    /// @notice Nobody is enrolled for the next round.
    error NoMembers();
    /// @notice Only the ledger may report a result.
    error NotTheLedger(address caller);
    /// @notice The block that seeds the round is not mined yet.
    error SeedNotReady(uint64 round);

    constructor(PeerRegistry registry, address ledger, uint64 roundS, uint64 startMembers, uint64 absenceRounds)
        Membership(registry, absenceRounds)
    {
        if (roundS == 0 || startMembers == 0) revert ParameterOutOfRange();
        LEDGER = ledger;
        ROUND_S = roundS;
        START_MEMBERS = startMembers;
        _openedAt = uint64(block.timestamp);
        _openedBlock = uint64(block.number);
        emit RoundOpened(0, uint64(block.timestamp), uint64(block.timestamp) + roundS, 0, false);
    }

    /// @notice End `expectedRound` because its deadline passed. Anybody may.
    function advance(uint64 expectedRound) external {
        if (expectedRound != _round) revert RoundNotCurrent(_round, expectedRound);
        uint64 closesAt = _openedAt + ROUND_S;
        if (block.timestamp < closesAt) revert RoundStillOpen(_round, closesAt);
        if (numMembers(_round + 1) == 0) revert NoMembers();
        _openNext(false);
    }

    /// @notice Take note of a result of `settledRound` that the peers in `attesters` signed; ends that round if it is the
    /// current one.
    function recordResult(uint64 settledRound, bytes32[] calldata attesters) external {
        if (msg.sender != LEDGER) revert NotTheLedger(msg.sender);
        for (uint256 i = 0; i < attesters.length; ++i) {
            _markSeen(attesters[i], settledRound);
        }
        if (settledRound == _round) _openNext(true);
    }

    /// @notice Write the current round's seed down. Anybody may, once.
    function fixSeed() external {
        if (!_fixSeed()) revert SeedNotReady(_round);
    }

    /// @inheritdoc Membership
    function round() public view override returns (uint64) {
        return _round;
    }

    /// @notice The seed of a past round, or of the current one; zero while it is not known yet.
    function seedOf(uint64 ofRound) external view returns (bytes32) {
        return ofRound == _round ? _currentSeed() : _seeds[ofRound];
    }

    /// @notice Everything about the current round, at one block.
    function clock() external view returns (ClockSnapshot memory) {
        return ClockSnapshot({
            blockNumber: uint64(block.number),
            blockTimestamp: uint64(block.timestamp),
            round: _round,
            openedAt: _openedAt,
            openedBlock: _openedBlock,
            closesAt: _openedAt + ROUND_S,
            numMembers: uint64(numMembers(_round)),
            seed: _currentSeed()
        });
    }

    /// @inheritdoc Membership
    function _afterEnrol() internal override {
        if (numMembers(_round) == 0 && numMembers(_round + 1) >= START_MEMBERS) _openNext(false);
    }

    function _openNext(bool settled) private {
        _fixSeed();
        uint64 next = _round + 1;
        _round = next;
        _openedAt = uint64(block.timestamp);
        _openedBlock = uint64(block.number);
        emit RoundOpened(next, _openedAt, _openedAt + ROUND_S, numMembers(next), settled);
    }

    /// @dev Whether the current round's seed is known after the call. A round that ends before its seed exists keeps none.
    function _fixSeed() private returns (bool) {
        if (_seeds[_round] != 0) return true;
        bytes32 seed = _currentSeed();
        if (seed == 0) return false;
        _seeds[_round] = seed;
        emit SeedFixed(_round, seed);
        return true;
    }

    /// @dev Asked before the opcode: a development node that starts from a saved state answers the opcode for older
    /// blocks with something else than their hash, which would change the seed of an open round. The history contract
    /// (EIP-2935) is part of the state. Both give the same on every other chain that has it.
    function _hashInHistory(uint256 blockNumber) private view returns (bytes32) {
        (bool found, bytes memory data) = HISTORY.staticcall(abi.encode(blockNumber));
        return found && data.length == 32 ? abi.decode(data, (bytes32)) : bytes32(0);
    }

    function _currentSeed() private view returns (bytes32 seed) {
        seed = _seeds[_round];
        uint256 seedBlock = uint256(_openedBlock) + 1;
        if (seed != 0 || block.number <= seedBlock) return seed;
        seed = _hashInHistory(seedBlock);
        if (seed == 0) seed = Blockhash.blockHash(seedBlock);
        if (seed == 0) seed = keccak256(abi.encode(_round == 0 ? bytes32(0) : _seeds[_round - 1], _round));
    }
}
