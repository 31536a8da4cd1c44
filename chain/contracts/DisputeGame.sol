// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {DisputeJudge} from "./DisputeJudge.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RoundClock} from "./RoundClock.sol";
import {RunContracts, Rules, Signature, WEI_PER_MICRO} from "./RunTypes.sol";
import {Settlement} from "./Settlement.sol";
import {StakeVault} from "./StakeVault.sol";
import {Accusation} from "./dispute/Accusation.sol";
import {
    Move,
    Phase,
    ShownElement,
    ShownLeaf,
    ShownNode,
    ShownPiece,
    ShownResult,
    ShownStep,
    State,
    Subject,
    Work
} from "./dispute/GameTypes.sol";
import {Search} from "./dispute/Search.sol";
import {NotANumber} from "./leaf/Refusal.sol";

/// @title Who is right about a contribution
/// @notice Anybody who re-executed a signed contribution and got something else opens a game with a bond. The defender
/// commits to a trace of the step, both search the first thing that they do not share, and the chain computes that one
/// thing. Whoever misses a deadline loses. A lost defence costs the peer its whole stake, its place and its unclaimed pay;
/// a lost accusation costs the bond, of which half goes to the peer's owner.
/// @dev Mirrors `verde/bisect/game.py`, move by move. The chain keeps a hash of the game's state, which whoever moves shows;
/// everything that the other side must see is in events. Games are independent: any lost defence strikes the
/// contribution, a won one proves nothing. **Known limits:** what the program, the data and the draws of a contribution are
/// is vouched for by the members that recorded it, not proven here; who watches pending transactions can open the same
/// game in the finder's place; and open games keep a peer's pay and stake waiting, at a bond for each.
contract DisputeGame is Initializable {
    /// @notice Where a game is. `winner` counts when it is over.
    struct Status {
        uint64 deadline;
        uint32 moves;
        Phase phase;
        bool isDecided;
        bool challengerWon;
    }

    /// @notice Where peers, their owners and signing accounts are looked up.
    PeerRegistry public immutable REGISTRY;
    /// @notice What checks openings and has elements computed.
    DisputeJudge public immutable JUDGE;
    /// @notice The run whose contributions are disputed.
    bytes32 public RUN_ID;
    /// @notice The contract that takes a convicted peer out.
    RoundClock public CLOCK;
    /// @notice The contract that holds stakes and bonds.
    StakeVault public VAULT;
    /// @notice The contract that pays.
    Settlement public SETTLEMENT;
    /// @notice Seconds to post a trace, and for every later move.
    uint64 public TRACE_S;
    uint64 public MOVE_S;
    /// @notice For how many rounds a convicted peer may not come back.
    uint64 public BARRED_ROUNDS;
    /// @notice What a challenger puts at stake.
    uint256 public BOND_WEI;

    mapping(bytes32 game => bytes32) private _stateHash;
    mapping(bytes32 game => Status) private _status;

    /// @notice A game began; the defender has until `deadline` to post its trace. `subject`: -1 is the whole step.
    event DisputeOpened(
        bytes32 indexed game,
        bytes32 indexed peerKey,
        address indexed challenger,
        uint64 round,
        bytes32 content,
        int256 subject,
        bytes32 programRoot,
        bytes32 dataRoot,
        bytes32 stateBefore,
        bytes32 stateAfter,
        uint64 deadline
    );
    /// @notice Move number `turn` was made. `choice`: the hash, element or part that it chose; `shown`: what whoever moves
    /// next must see; `phase`: what is waited for now, until `deadline`.
    event DisputeMoved(
        bytes32 indexed game, uint256 turn, Move move, uint256 choice, Phase phase, uint64 deadline, bytes shown
    );
    /// @notice The game is over. `byClock`: the loser missed a deadline.
    event DisputeDecided(bytes32 indexed game, bool challengerWon, bool byClock, uint256 slashedWei);
    /// @notice The contribution is not what its peer signed it to be: it is worth nothing.
    event ContributionRefuted(bytes32 indexed peerKey, uint64 indexed round, bytes32 content);

    /// @notice This challenger has a game about this.
    error DisputeExists(bytes32 game);
    /// @notice There is no such game.
    error DisputeUnknown(bytes32 game);
    /// @notice The game is over.
    error DisputeOver(bytes32 game);
    /// @notice Another kind of move is waited for.
    error WrongMove(Phase phase);
    /// @notice The other side is to move, or the caller is neither.
    error NotYourTurn(address caller);
    /// @notice The game stands otherwise by now.
    error StateStale(bytes32 game);
    /// @notice The deadline has passed: the game can only be closed.
    error TooLate(uint64 until);
    /// @notice The deadline has not passed.
    error TooEarly(uint64 until);
    /// @notice The signature is not of the account that signed for this peer in that round.
    error NotSignedByPeer(bytes32 peerKey, address signer);
    /// @notice The round's work is paid, or can be: it is too late to dispute it.
    error RoundPaid(uint64 round, uint64 paidRound);

    constructor(PeerRegistry registry, DisputeJudge judge) {
        REGISTRY = registry;
        JUDGE = judge;
        _disableInitializers();
    }

    /// @notice Begin. Once, by the factory.
    function initialize(RunContracts calldata run, Rules calldata rules, bytes32 runId) external initializer {
        RUN_ID = runId;
        CLOCK = RoundClock(run.clock);
        VAULT = StakeVault(run.vault);
        SETTLEMENT = Settlement(run.settlement);
        TRACE_S = rules.traceS;
        MOVE_S = rules.moveS;
        BARRED_ROUNDS = rules.barredRounds;
        BOND_WEI = rules.disputeBondMicro * WEI_PER_MICRO;
    }

    /// @notice Accuse a peer of a contribution that its signed work does not lead to. Anybody may, once per contribution and
    /// subject, having approved the bond to the vault, until the epoch that pays the round unlocks: the first of a later
    /// round, because a round's work is credited by the results after it.
    /// @param contribution The record's bytes, as they were signed.
    /// @param work What their last 32 bytes are the hash of.
    function open(
        bytes32 peerKey,
        uint64 round,
        bytes calldata contribution,
        Signature calldata signature,
        Work calldata work,
        Subject calldata subject
    ) external returns (bytes32 game) {
        State memory state;
        state.content = sha256(contribution);
        game = keccak256(abi.encode(state.content, subject.index, msg.sender));
        if (_status[game].deadline != 0) revert DisputeExists(game);
        uint64 paidRound = SETTLEMENT.paidRound();
        if (round < paidRound) revert RoundPaid(round, paidRound);
        Accusation.requireWork(contribution, work);
        _requireSigned(peerKey, round, state.content, signature);
        state.peerKey = peerKey;
        state.challenger = msg.sender;
        state.round = round;
        Accusation.setSubject(state, work, subject);

        uint64 deadline = uint64(block.timestamp) + TRACE_S;
        _status[game] = Status(deadline, 0, Phase.Trace, false, false);
        _stateHash[game] = keccak256(abi.encode(state));
        emit DisputeOpened(
            game,
            peerKey,
            msg.sender,
            round,
            state.content,
            subject.index,
            state.programRoot,
            state.dataRoot,
            state.stateBefore,
            state.stateAfter,
            deadline
        );
        VAULT.hold(peerKey);
        SETTLEMENT.hold(peerKey);
        VAULT.holdBond(msg.sender, BOND_WEI);
    }

    // --- the search ---------------------------------------------------------------------------------------------------

    /// @notice Defender: the root of the trace, the hashes some levels below it, and the parts of the program's root.
    function postTrace(
        bytes32 game,
        State calldata state,
        bytes32 traceRoot,
        uint256 numNodes,
        bytes32 nodesRoot,
        bytes32 outputsRoot,
        bytes32[] calldata children
    ) external {
        _enter(game, state, Phase.Trace);
        State memory next = Search.postTrace(state, traceRoot, numNodes, nodesRoot, outputsRoot, children);
        bytes memory shown = abi.encode(traceRoot, numNodes, nodesRoot, outputsRoot, children);
        _go(game, next, Move.PostTrace, 0, Phase.Pick, shown);
    }

    /// @notice Defender: the hashes some levels below the one that was picked.
    function reveal(bytes32 game, State calldata state, bytes32[] calldata children) external {
        _enter(game, state, Phase.Reveal);
        Search.requireChildren(state, children);
        _go(game, state, Move.Reveal, 0, Phase.Pick, abi.encode(children));
    }

    /// @notice Challenger: the first hash that the own trace does not have, with its place; and the program's node where it
    /// is a node's output that was found.
    function pick(
        bytes32 game,
        State calldata state,
        uint256 child,
        bytes32 hash,
        bytes32[] calldata proof,
        ShownNode calldata node
    ) external {
        _enter(game, state, Phase.Pick);
        (State memory next, Phase phase, bool isNode) = Search.pick(state, child, hash, proof, node);
        _go(game, next, Move.Pick, child, phase, isNode ? abi.encode(node) : bytes(""));
    }

    /// @notice Defender: the bytes of the chunk that was picked.
    function revealChunk(bytes32 game, State calldata state, bytes calldata raw) external {
        _enter(game, state, Phase.Chunk);
        Search.requireChunk(state, raw);
        _go(game, state, Move.RevealChunk, 0, Phase.Element, raw);
    }

    /// @notice Challenger: which element of the chunk, counted in it, is wrong. `raw`: the chunk once more.
    function pickElement(bytes32 game, State calldata state, uint256 offset, bytes calldata raw) external {
        _enter(game, state, Phase.Element);
        (State memory next, Phase phase) = Search.pickElement(state, offset, raw);
        _go(game, next, Move.PickElement, offset, phase, "");
    }

    /// @notice Defender: the value of the fold after each part of the terms that are searched.
    function revealParts(bytes32 game, State calldata state, int256[] calldata values) external {
        _enter(game, state, Phase.Parts);
        State memory next = Search.revealParts(state, values);
        _go(game, next, Move.RevealParts, 0, Phase.Leaf, abi.encode(values));
    }

    /// @notice Challenger: the first part whose value does not follow from the one before, where it is too long to compute.
    function pickPart(bytes32 game, State calldata state, uint256 part, int256[] calldata parts) external {
        _enter(game, state, Phase.Leaf);
        State memory next = Search.pickPart(state, part, parts);
        _go(game, next, Move.PickPart, part, Phase.Parts, "");
    }

    // --- the end: the judge has functions of the same names and arguments, and gets the call as it is -----------------

    /// @notice Challenger: what the element, or a part of its fold, depends on. It is computed, and decides the game.
    function leaf(bytes32 game, State calldata state, ShownLeaf calldata shown) external {
        _judge(game, state, Phase.Leaf, Move.Leaf, shown.part);
    }

    /// @notice Challenger: the element in the state before, where that is what the node reads.
    function leafState(bytes32 game, State calldata state, bytes calldata, ShownElement calldata) external {
        _judge(game, state, Phase.Leaf, Move.Leaf, 0);
    }

    /// @notice Challenger: the step count of the state before, where that is what the node reads.
    function leafStep(bytes32 game, State calldata state, bytes calldata, ShownStep calldata) external {
        _judge(game, state, Phase.Leaf, Move.Leaf, 0);
    }

    /// @notice Challenger: the element of the data, where that is what the node reads.
    function leafData(bytes32 game, State calldata state, bytes calldata, ShownPiece calldata) external {
        _judge(game, state, Phase.Leaf, Move.Leaf, 0);
    }

    /// @notice Challenger, before the first pick: an element of a result is not in the state after.
    function showResult(bytes32 game, State calldata state, ShownResult calldata result, ShownElement calldata)
        external
    {
        Search.requireBegin(state);
        _judge(game, state, Phase.Pick, Move.ShowResult, result.element);
    }

    /// @notice Challenger, before the first pick: a token is not what was claimed.
    function showToken(bytes32 game, State calldata state, ShownResult calldata result, ShownPiece calldata) external {
        Search.requireBegin(state);
        _judge(game, state, Phase.Pick, Move.ShowResult, result.element);
    }

    /// @notice Challenger, before the first pick: the step count of the state after is not that of the state before and
    /// `numUpdates` more.
    function showStep(
        bytes32 game,
        State calldata state,
        uint256 numUpdates,
        bytes32[] calldata,
        ShownStep calldata,
        ShownStep calldata
    ) external {
        Search.requireBegin(state);
        _judge(game, state, Phase.Pick, Move.ShowStep, numUpdates);
    }

    /// @notice Close a game whose deadline has passed: who should have moved loses. Anybody may.
    function expire(bytes32 game, State calldata state) external {
        Status memory entry = _live(game, state);
        if (block.timestamp <= entry.deadline) revert TooEarly(entry.deadline);
        _end(game, state, _isDefenders(entry.phase), true);
    }

    /// @notice Where a game is; all zeros for one that is not there.
    function status(bytes32 game) external view returns (Status memory) {
        return _status[game];
    }

    /// @notice The hash of a game's state; 0 when it is over.
    function stateHash(bytes32 game) external view returns (bytes32) {
        return _stateHash[game];
    }

    function _judge(bytes32 game, State calldata state, Phase phase, Move move, uint256 choice) private {
        _enter(game, state, phase);
        (bool ok, bytes memory answer) = address(JUDGE).staticcall(msg.data);
        if (!ok && bytes4(answer) != NotANumber.selector) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
        bool isRight = ok && abi.decode(answer, (bool));
        Status storage entry = _status[game];
        emit DisputeMoved(game, entry.moves, move, choice, Phase.Over, entry.deadline, "");
        ++entry.moves;
        _end(game, state, !isRight, false);
    }

    /// @dev Reverts unless the game waits for this kind of move, of the caller, and stands as it is shown.
    function _enter(bytes32 game, State calldata state, Phase phase) private view {
        Status memory entry = _live(game, state);
        if (block.timestamp > entry.deadline) revert TooLate(entry.deadline);
        if (entry.phase != phase) revert WrongMove(entry.phase);
        address mover = _isDefenders(phase) ? REGISTRY.ownerOf(state.peerKey) : state.challenger;
        if (msg.sender != mover) revert NotYourTurn(msg.sender);
    }

    function _live(bytes32 game, State calldata state) private view returns (Status memory entry) {
        entry = _status[game];
        if (entry.deadline == 0) revert DisputeUnknown(game);
        if (entry.isDecided) revert DisputeOver(game);
        if (keccak256(abi.encode(state)) != _stateHash[game]) revert StateStale(game);
    }

    function _go(bytes32 game, State memory next, Move move, uint256 choice, Phase phase, bytes memory shown) private {
        Status storage entry = _status[game];
        uint32 turn = entry.moves;
        uint64 deadline = uint64(block.timestamp) + MOVE_S;
        _status[game] = Status(deadline, turn + 1, phase, false, false);
        _stateHash[game] = keccak256(abi.encode(next));
        emit DisputeMoved(game, turn, move, choice, phase, deadline, shown);
    }

    function _end(bytes32 game, State calldata state, bool challengerWins, bool byClock) private {
        Status storage entry = _status[game];
        entry.phase = Phase.Over;
        entry.isDecided = true;
        entry.challengerWon = challengerWins;
        delete _stateHash[game];
        bytes32 peerKey = state.peerKey;
        VAULT.release(peerKey);
        SETTLEMENT.release(peerKey);
        if (!challengerWins) {
            emit DisputeDecided(game, false, byClock, 0);
            VAULT.splitBond(state.challenger, BOND_WEI, REGISTRY.ownerOf(peerKey));
            return;
        }
        uint64 round = uint64(state.round);
        emit ContributionRefuted(peerKey, round, state.content);
        SETTLEMENT.strike(peerKey, round);
        VAULT.returnBond(state.challenger, BOND_WEI);
        uint256 slashedWei = VAULT.slash(peerKey, type(uint256).max, state.challenger);
        CLOCK.eject(peerKey, CLOCK.round() + BARRED_ROUNDS);
        emit DisputeDecided(game, true, byClock, slashedWei);
    }

    function _requireSigned(bytes32 peerKey, uint64 round, bytes32 content, Signature calldata signature)
        private
        view
    {
        bytes32 digest = REGISTRY.recordDigest(RUN_ID, "contribution", round, content);
        address signer = ECDSA.recover(digest, signature.r, signature.vs);
        bytes32 found = REGISTRY.peerKeyOf(signer);
        bool isSeat = found != 0 && found == peerKey && CLOCK.weightOfSigner(signer, round) != 0;
        if (!isSeat) revert NotSignedByPeer(peerKey, signer);
    }

    function _isDefenders(Phase phase) private pure returns (bool) {
        return phase == Phase.Trace || phase == Phase.Reveal || phase == Phase.Chunk || phase == Phase.Parts;
    }
}
