// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";
import {Contributions} from "./Contributions.sol";
import {Membership} from "./Membership.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RunContracts, Rules} from "./RunTypes.sol";

/// @title Which round it is, until when, what seeds it, and whom the seed draws
/// @notice Nobody owns the clock. A round ends when its result is recorded, or when anybody calls `advance` after the
/// deadline. Round 0 is the lobby: it has no members, and ends as soon as the run's start members have enrolled (or after
/// the deadline with fewer). A later round without members ends in the same way.
/// @dev **Seed.** The seed of a round is the hash of the block after the one that opened it: the sender who opens a round
/// cannot choose it. It can be read from the chain while that block is within reach (256 blocks, or 8191 where EIP-2935
/// is active) and is written down by whatever closes the round, or by anybody through `fixSeed`. If nobody did so in
/// time, the seed is the hash of the previous seed and the round number: predictable, but the same for everyone and not
/// a choice of whoever writes it down. **Known bias:** who produces that block can discard it, at the price of its
/// reward, and so draw again; on a chain with one sequencer, the sequencer can choose among many. Seeds decide
/// questions and draws, not amounts.
/// **Draws.** Who may post and who attests is drawn by weight among the round's signing accounts, which are fixed before
/// the seed. Time widens a draw until it takes in everybody, so no minority can stall a round by silence. Seeds are kept
/// for `SEEDS_KEPT` rounds: by then a round without a result takes everybody's signatures, and no draw.
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
        uint64 totalWeight;
    }

    /// @dev One slot: read and written whenever a round opens. `activeRound`: see the view of that name.
    struct Clock {
        uint40 round;
        uint40 openedAt;
        uint64 openedBlock;
        bool seedFixed;
        uint40 activeRound;
    }

    /// @dev One slot.
    struct Times {
        uint40 roundS;
        uint40 posterS;
        uint32 startMembers;
        uint40 absenceRounds;
        uint40 quorumSize;
    }

    /// @notice Rounds whose seeds can be read; older ones are in the events.
    uint64 public constant SEEDS_KEPT = 64;
    /// @notice Draw of those that attest a result.
    bytes32 public constant QUORUM = keccak256("quorum");
    /// @notice Draw of those that may post it.
    bytes32 public constant POSTER = keccak256("poster");
    /// @notice Members that are expected to be drawn as posters at first.
    uint256 public constant NUM_POSTERS = 4;

    /// @dev Doublings after which a draw takes in everybody: more than there can be members.
    uint256 private constant MAX_DOUBLINGS = 32;
    /// @dev System contract of EIP-2935; chains without it have no code there.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    /// @notice The only contract that may end a round before its deadline.
    Contributions public CONTRIBUTIONS;

    Clock private _clock;
    Times private _times;
    bytes32[SEEDS_KEPT] private _seeds;

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
    /// @notice The block that seeds the round is not mined yet, or the round is too old to be drawn for.
    error SeedNotReady(uint64 round);
    /// @notice The round is not open yet.
    error RoundNotOpened(uint64 current);
    /// @notice The peer may not post this round's result, or not yet; later, more may.
    error PosterNotDrawn(bytes32 peerKey, uint256 expected);
    /// @notice This member was not drawn to attest, and the quorum does not take in everybody yet.
    error AttesterNotDrawn(address signer, uint256 expected);
    /// @notice Too few of those that were drawn have signed; later, more are drawn.
    error QuorumMissing(uint256 needed, uint256 given);
    /// @notice Members of no more than half of all weight have signed.
    error MajorityMissing(uint256 needed, uint256 given);

    constructor(PeerRegistry registry) Membership(registry) {
        _disableInitializers();
    }

    /// @notice Open the lobby. Once, by the factory.
    function initialize(RunContracts calldata run, Rules calldata rules) external initializer {
        _initMembership(run);
        CONTRIBUTIONS = Contributions(run.contributions);
        _times = Times({
            roundS: uint40(rules.roundS),
            posterS: uint40(rules.posterS),
            startMembers: uint32(rules.startMembers),
            absenceRounds: uint40(rules.absenceRounds),
            quorumSize: uint40(rules.quorumSize)
        });
        _clock = Clock(0, uint40(block.timestamp), uint64(block.number), false, 0);
        emit RoundOpened(0, uint64(block.timestamp), uint64(block.timestamp) + rules.roundS, 0, false);
    }

    /// @notice End `expectedRound` because its deadline passed. Anybody may.
    function advance(uint64 expectedRound) external {
        Clock memory now_ = _clock;
        if (expectedRound != now_.round) revert RoundNotCurrent(now_.round, expectedRound);
        uint64 closesAt = uint64(now_.openedAt) + _times.roundS;
        if (block.timestamp < closesAt) revert RoundStillOpen(now_.round, closesAt);
        if (numMembers(now_.round + 1) == 0) revert NoMembers();
        _openNext(now_, _currentSeed(now_), false);
    }

    /// @notice Take note of a result of `settledRound` that `sender` posts for `posterKey` and `signers`, in ascending order,
    /// signed; refuse unless they were drawn and are enough. Ends that round if it is the current one.
    /// @dev Called by the run's contributions contract only.
    function recordResult(uint64 settledRound, bytes32 posterKey, address sender, address[] calldata signers) external {
        if (msg.sender != address(CONTRIBUTIONS)) revert NotOfThisRun(msg.sender);
        Clock memory now_ = _clock;
        Times memory times = _times;
        uint256 total = totalWeight(settledRound);
        uint256 age = _ageOf(now_, times, settledRound);
        bytes32 seed = _seedOf(now_, settledRound);
        _requirePoster(seed, settledRound, posterKey, sender, _doubled(NUM_POSTERS, age / times.posterS), total);
        _requireQuorum(seed, settledRound, signers, _doubled(times.quorumSize, age / times.roundS), total);
        if (settledRound == now_.round) _openNext(now_, seed, true);
        else _clock.activeRound = now_.round;
    }

    /// @notice Take note that results were rolled back: who waited for that was not absent.
    /// @dev Called by the run's contributions contract only.
    function recordRollback() external {
        if (msg.sender != address(CONTRIBUTIONS)) revert NotOfThisRun(msg.sender);
        _clock.activeRound = _clock.round;
    }

    /// @notice Write the current round's seed down. Anybody may, once.
    function fixSeed() external {
        Clock memory now_ = _clock;
        if (now_.seedFixed) return;
        bytes32 seed = _currentSeed(now_);
        if (seed == 0) revert SeedNotReady(now_.round);
        _clock.seedFixed = true;
        _keepSeed(now_.round, seed);
    }

    /// @inheritdoc Membership
    function round() public view override returns (uint64) {
        return _clock.round;
    }

    /// @notice The round in which a result was recorded, or results were rolled back, for the last time. A member that does not
    /// want to be pruned renews its presence before the run's absence rounds have passed since then.
    function activeRound() external view returns (uint64) {
        return _clock.activeRound;
    }

    /// @notice The seed of the current round or of one of the `SEEDS_KEPT` before; zero while it is not known yet, for older
    /// rounds, and for a round that ended before its seed was mined.
    function seedOf(uint64 ofRound) public view returns (bytes32) {
        return _seedOf(_clock, ofRound);
    }

    /// @notice Whether `signer` is drawn in a draw of `atRound` that takes in `expected` members on average.
    /// @dev The ticket is keccak256(abi.encode(seed, domain, round, signer)); a member's chance grows with its weight.
    function isDrawn(bytes32 domain, uint64 atRound, address signer, uint256 expected) external view returns (bool) {
        uint256 weight = weightOfSigner(signer, atRound);
        uint256 total = totalWeight(atRound);
        if (weight == 0) return false;
        return _isDrawn(_seedOf(_clock, atRound), domain, atRound, signer, expected, weight, total);
    }

    /// @notice How many members are expected to be drawn as posters of `ofRound`, and to attest its result, right now.
    function expectedDraws(uint64 ofRound) external view returns (uint256 posters, uint256 attesters) {
        Times memory times = _times;
        uint256 age = _ageOf(_clock, times, ofRound);
        return (_doubled(NUM_POSTERS, age / times.posterS), _doubled(times.quorumSize, age / times.roundS));
    }

    /// @notice Everything about the current round, at one block.
    function clock() external view returns (ClockSnapshot memory) {
        Clock memory now_ = _clock;
        return ClockSnapshot({
            blockNumber: uint64(block.number),
            blockTimestamp: uint64(block.timestamp),
            round: now_.round,
            openedAt: now_.openedAt,
            openedBlock: now_.openedBlock,
            closesAt: uint64(now_.openedAt) + _times.roundS,
            numMembers: uint64(numMembers(now_.round)),
            seed: _currentSeed(now_),
            totalWeight: uint64(totalWeight(now_.round))
        });
    }

    /// @inheritdoc Membership
    function _afterEnrol() internal override {
        Clock memory now_ = _clock;
        if (numMembers(now_.round) == 0 && numMembers(now_.round + 1) >= _times.startMembers) {
            _openNext(now_, _currentSeed(now_), false);
        }
    }

    /// @inheritdoc Membership
    function _isStuckSince(uint64 lastRenewed) internal view override returns (bool) {
        Clock memory now_ = _clock;
        uint64 absence = _times.absenceRounds;
        return now_.round > lastRenewed + absence && now_.round > now_.activeRound + absence;
    }

    /// @dev Refuse unless `sender` owns `posterKey`, which was drawn to post the result of `ofRound`.
    function _requirePoster(
        bytes32 seed,
        uint64 ofRound,
        bytes32 posterKey,
        address sender,
        uint256 expected,
        uint256 total
    ) private view {
        if (REGISTRY.ownerOf(posterKey) != sender) revert NotThePeersOwner(posterKey, sender);
        address signer = _signerOf(posterKey);
        uint256 weight = weightOfSigner(signer, ofRound);
        if (weight == 0) {
            // its key was changed since: the draw was by the former one
            (signer, weight) = _signerAt(posterKey, ofRound);
            if (weight == 0) revert NotAMember(signer, ofRound);
        }
        if (!_isDrawn(seed, POSTER, ofRound, signer, expected, weight, total)) {
            revert PosterNotDrawn(posterKey, expected);
        }
    }

    /// @dev Refuse unless `signers` are enough of those drawn to attest the result of `ofRound`: two thirds of the expected
    /// number, or, once the draw takes in everybody, members of more than half of all weight.
    function _requireQuorum(bytes32 seed, uint64 ofRound, address[] calldata signers, uint256 expected, uint256 total)
        private
        view
    {
        if (expected >= total) {
            uint256 weight = signedWeight(ofRound, signers);
            if (weight <= total / 2) revert MajorityMissing(total / 2 + 1, weight);
            return;
        }
        uint256 needed = (2 * expected + 2) / 3;
        if (signers.length < needed) revert QuorumMissing(needed, signers.length);
        address previous = address(0);
        for (uint256 i = 0; i < signers.length; ++i) {
            address signer = signers[i];
            uint256 weight = _checkedWeight(signer, previous, ofRound);
            if (!_isDrawn(seed, QUORUM, ofRound, signer, expected, weight, total)) {
                revert AttesterNotDrawn(signer, expected);
            }
            previous = signer;
        }
    }

    function _openNext(Clock memory now_, bytes32 seed, bool settled) private {
        if (!now_.seedFixed) _keepSeed(now_.round, seed);
        uint64 next = uint64(now_.round) + 1;
        uint64 openedAt = uint64(block.timestamp);
        uint40 activeRound_ = settled ? now_.round : now_.activeRound;
        _clock = Clock(uint40(next), uint40(openedAt), uint64(block.number), false, activeRound_);
        emit RoundOpened(next, openedAt, openedAt + _times.roundS, numMembers(next), settled);
    }

    /// @dev A round that ends before its seed exists keeps none: zero replaces what an earlier round left in the place.
    function _keepSeed(uint64 ofRound, bytes32 seed) private {
        _seeds[ofRound % SEEDS_KEPT] = seed;
        if (seed != 0) emit SeedFixed(ofRound, seed);
    }

    /// @dev Seconds since `ofRound` opened, at least. A round before the current one that can still be settled, and all
    /// rounds between, ended by their deadlines, so each of them lasted the run's round time or longer.
    function _ageOf(Clock memory now_, Times memory times, uint64 ofRound) private view returns (uint256) {
        if (ofRound > now_.round) revert RoundNotOpened(now_.round);
        return uint256(now_.round - ofRound) * times.roundS + (block.timestamp - now_.openedAt);
    }

    function _doubled(uint256 expected, uint256 times) private pure returns (uint256) {
        return expected << (times < MAX_DOUBLINGS ? times : MAX_DOUBLINGS);
    }

    /// @dev Nobody needs a seed where everybody is drawn. In the last line `expected` * `weight` < `total`: no overflow.
    function _isDrawn(
        bytes32 seed,
        bytes32 domain,
        uint64 atRound,
        address signer,
        uint256 expected,
        uint256 weight,
        uint256 total
    ) private pure returns (bool) {
        if (expected * weight >= total) return true;
        if (seed == 0) revert SeedNotReady(atRound);
        return uint256(keccak256(abi.encode(seed, domain, atRound, signer)))
            < (type(uint256).max / total) * weight * expected;
    }

    function _seedOf(Clock memory now_, uint64 ofRound) private view returns (bytes32) {
        if (ofRound == now_.round) return _currentSeed(now_);
        return ofRound > now_.round || now_.round - ofRound >= SEEDS_KEPT ? bytes32(0) : _seeds[ofRound % SEEDS_KEPT];
    }

    /// @dev Asked before the opcode: a development node that starts from a saved state answers the opcode for older
    /// blocks with something else than their hash, which would change the seed of an open round. The history contract
    /// (EIP-2935) is part of the state. Both give the same on every other chain that has it.
    function _hashInHistory(uint256 blockNumber) private view returns (bytes32) {
        (bool found, bytes memory data) = HISTORY.staticcall(abi.encode(blockNumber));
        return found && data.length == 32 ? abi.decode(data, (bytes32)) : bytes32(0);
    }

    function _currentSeed(Clock memory now_) private view returns (bytes32 seed) {
        if (now_.seedFixed) return _seeds[now_.round % SEEDS_KEPT];
        uint256 seedBlock = uint256(now_.openedBlock) + 1;
        if (block.number <= seedBlock) return 0;
        seed = _hashInHistory(seedBlock);
        if (seed == 0) seed = Blockhash.blockHash(seedBlock);
        if (seed == 0) {
            bytes32 previous = now_.round == 0 ? bytes32(0) : _seeds[(now_.round - 1) % SEEDS_KEPT];
            seed = keccak256(abi.encode(previous, uint64(now_.round)));
        }
    }
}
