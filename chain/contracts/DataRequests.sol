// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ContributionFields} from "./ContributionFields.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RoundClock} from "./RoundClock.sol";
import {RunContracts, Rules, Signature, WEI_PER_MICRO} from "./RunTypes.sol";
import {StakeVault} from "./StakeVault.sol";

/// @title Show what you committed to, or lose your stake
/// @notice Who is to check a contribution and gets its data from nobody asks for one piece of it here, with a bond of one
/// credit: a chunk of the state before or after, or one rollout. Anybody may show the piece, with its proof, in the
/// time of a move of a dispute; then the bond is burned. Where nobody does, the peer loses its whole stake, half of it to
/// who asked, is taken out of the run, and the bond goes back.
/// @dev **Who may be asked.** The peer that signed the contribution, in the round of the contribution and in the next one:
/// that is when it is checked, and an honest peer stays until then. A piece of a contribution is asked for once; of
/// one peer no more than `MAX_OPEN` pieces at a time, so that nobody is asked for more than can be shown in time.
/// **Why the bond is burned.** Nobody gains by asking for what would have been served, nor by serving it here only: who
/// asks to annoy pays a credit, the most that a round's work earns, for one transaction of the other. The peer gets
/// nothing of it, or it would withhold in order to be asked.
/// **What exists** can be told from outside: states of a run have as many chunks as the state that it began with, and a
/// contribution has a score for each rollout. So an honest peer is never asked for what is not there.
/// **Known limits:** a peer that cannot reach the chain for that long loses its stake; a piece that was shown says nothing
/// about the others; and an accomplice may use up the peer's open requests, at a credit each.
contract DataRequests is Initializable {
    /// @notice Kinds of pieces.
    enum Part {
        StateBefore,
        StateAfter,
        Rollout
    }

    /// @notice Where a request is. None: there is no such request.
    enum Stage {
        None,
        Open,
        Shown,
        Withheld
    }

    /// @notice A request. `root`: what the piece is proved against.
    struct Request {
        bytes32 peerKey;
        bytes32 root;
        address asker;
        uint64 answerBy;
        Part part;
        Stage stage;
        uint32 index;
    }

    /// @notice Which piece. `line` and `proof`: that the run's first state has a chunk with this number; for states only.
    struct Piece {
        Part part;
        uint32 index;
        bytes32 line;
        bytes32[] proof;
    }

    /// @notice What a request costs who asks without need: a round's pay at most.
    uint256 public constant BOND_WEI = 1e6 * WEI_PER_MICRO;
    /// @notice How many pieces a peer can be asked for at a time.
    uint256 public constant MAX_OPEN = 4;

    /// @notice Where signing accounts and owners are looked up.
    PeerRegistry public immutable REGISTRY;
    /// @notice The run whose contributions can be asked for.
    bytes32 public RUN_ID;
    /// @notice Root of the state that the run began with.
    bytes32 public FIRST_STATE;
    /// @notice Which round it is, and the contract that takes the peer out.
    RoundClock public CLOCK;
    /// @notice The contract that holds stakes and bonds.
    StakeVault public VAULT;
    /// @notice How long there is time to show a piece.
    uint64 public ANSWER_S;
    /// @notice For how many rounds a peer that withheld may not come back.
    uint64 public BARRED_ROUNDS;

    mapping(bytes32 id => Request) private _requests;
    mapping(bytes32 peerKey => uint256) private _numOpen;

    /// @notice Somebody must show this piece of the peer's contribution until `answerBy`.
    event DataRequested(
        bytes32 indexed id,
        bytes32 indexed peerKey,
        uint64 indexed round,
        bytes32 content,
        Part part,
        uint32 index,
        address asker,
        uint64 answerBy
    );
    /// @notice The piece is in the call data of this transaction.
    event DataShown(bytes32 indexed id, bytes32 indexed peerKey, address sender);
    /// @notice Nobody showed it in time.
    event DataWithheld(bytes32 indexed id, bytes32 indexed peerKey, address indexed asker, uint256 slashedWei);

    /// @notice The contribution is not signed by the account that signed for this peer in that round.
    error NotSignedByPeer(bytes32 peerKey, address signer);
    /// @notice A contribution can be asked for in its own round and in the next one.
    error RoundTooOld(uint64 round, uint64 current);
    /// @notice The contribution does not have this piece, or does not say where it is found.
    error NoSuchPiece();
    /// @notice This piece was asked for before.
    error RequestExists(bytes32 id);
    /// @notice The peer is asked for as much as it can be at a time.
    error TooManyRequests(bytes32 peerKey);
    /// @notice There is no such request, or it is over.
    error RequestNotOpen(bytes32 id);
    /// @notice These bytes are not the piece that was asked for.
    error PieceRejected(bytes32 id);
    /// @notice The time to show the piece is over.
    error TooLate(uint64 until);
    /// @notice The time to show the piece is not over.
    error TooEarly(uint64 until);

    constructor(PeerRegistry registry) {
        REGISTRY = registry;
        _disableInitializers();
    }

    /// @notice Begin. Once, by the factory.
    function initialize(RunContracts calldata run, Rules calldata rules, bytes32 runId, bytes32 firstState)
        external
        initializer
    {
        RUN_ID = runId;
        FIRST_STATE = firstState;
        CLOCK = RoundClock(run.clock);
        VAULT = StakeVault(run.vault);
        ANSWER_S = rules.moveS;
        BARRED_ROUNDS = rules.barredRounds;
    }

    /// @notice Ask for a piece of a contribution; the bond was approved to the vault. Anybody may.
    /// @param contribution Canonical bytes of the signed record.
    function ask(
        bytes32 peerKey,
        uint64 round,
        bytes calldata contribution,
        Signature calldata signature,
        Piece calldata piece
    ) external returns (bytes32 id) {
        bytes32 content = sha256(contribution);
        address signer = ECDSA.recover(
            REGISTRY.recordDigest(RUN_ID, "contribution", round, content), signature.r, signature.vs
        );
        bool isSeat = REGISTRY.peerKeyOf(signer) == peerKey && CLOCK.weightOfSigner(signer, round) != 0;
        if (!isSeat || peerKey == 0) revert NotSignedByPeer(peerKey, signer);
        uint64 current = CLOCK.round();
        if (current > round + 1) revert RoundTooOld(round, current);
        id = requestId(content, piece.part, piece.index);
        if (_requests[id].stage != Stage.None) revert RequestExists(id);
        if (_numOpen[peerKey] == MAX_OPEN) revert TooManyRequests(peerKey);

        uint64 answerBy = uint64(block.timestamp) + ANSWER_S;
        _requests[id] = Request({
            peerKey: peerKey,
            root: _rootOf(contribution, piece),
            asker: msg.sender,
            answerBy: answerBy,
            part: piece.part,
            stage: Stage.Open,
            index: piece.index
        });
        _numOpen[peerKey] += 1;
        emit DataRequested(id, peerKey, round, content, piece.part, piece.index, msg.sender, answerBy);
        VAULT.hold(peerKey);
        VAULT.holdBond(msg.sender, BOND_WEI);
    }

    /// @notice Show a piece that was asked for. Anybody may: its peer, or who kept it for others.
    /// @param data The chunk's bytes, or the rollout's canonical ones.
    /// @param pieces Root over the chunk's pieces; for states only.
    /// @param proof Siblings of the piece's line, from the leaf up.
    function show(bytes32 id, bytes calldata data, bytes32 pieces, bytes32[] calldata proof) external {
        Request memory asked = _requests[id];
        if (asked.stage != Stage.Open) revert RequestNotOpen(id);
        if (block.timestamp >= asked.answerBy) revert TooLate(asked.answerBy);
        bytes32 value = sha256(data);
        uint256 key = asked.index;
        if (asked.part != Part.Rollout) (key, value) = (key + 1, sha256(bytes.concat(value, pieces)));
        if (!_isIn(asked.root, key, value, proof)) revert PieceRejected(id);
        _close(id, asked.peerKey, Stage.Shown);
        emit DataShown(id, asked.peerKey, msg.sender);
        VAULT.burnBond(asked.asker, BOND_WEI);
    }

    /// @notice End a request that nobody answered in time. Anybody may; the reward goes to who asked.
    function expire(bytes32 id) external {
        Request memory asked = _requests[id];
        if (asked.stage != Stage.Open) revert RequestNotOpen(id);
        if (block.timestamp < asked.answerBy) revert TooEarly(asked.answerBy);
        _close(id, asked.peerKey, Stage.Withheld);
        uint256 slashedWei = VAULT.slash(asked.peerKey, type(uint256).max, asked.asker);
        emit DataWithheld(id, asked.peerKey, asked.asker, slashedWei);
        CLOCK.eject(asked.peerKey, CLOCK.round() + BARRED_ROUNDS);
        VAULT.returnBond(asked.asker, BOND_WEI);
    }

    /// @notice A request as it stands; its stage is None where there is none.
    function requestOf(bytes32 id) external view returns (Request memory) {
        return _requests[id];
    }

    /// @notice How many requests about the peer are open.
    function numOpen(bytes32 peerKey) external view returns (uint256) {
        return _numOpen[peerKey];
    }

    /// @notice The name of a request: one per contribution and piece.
    function requestId(bytes32 content, Part part, uint32 index) public pure returns (bytes32) {
        return keccak256(abi.encode(content, part, index));
    }

    /// @dev What the piece will be proved against, if there is such a piece.
    function _rootOf(bytes calldata contribution, Piece calldata piece) private view returns (bytes32) {
        ContributionFields.Fields memory fields = ContributionFields.read(contribution);
        if (piece.part == Part.Rollout) {
            if (piece.index >= fields.numRollouts) revert NoSuchPiece();
            return fields.rolloutsRoot;
        }
        bool isBefore = piece.part == Part.StateBefore;
        bool isThere = isBefore ? fields.hasBefore : fields.hasAfter;
        if (!isThere || !_isIn(FIRST_STATE, uint256(piece.index) + 1, piece.line, piece.proof)) revert NoSuchPiece();
        return isBefore ? fields.stateBefore : fields.stateAfter;
    }

    function _close(bytes32 id, bytes32 peerKey, Stage stage) private {
        _requests[id].stage = stage;
        _numOpen[peerKey] -= 1;
        VAULT.release(peerKey);
    }

    function _isIn(bytes32 root, uint256 key, bytes32 value, bytes32[] calldata proof) private pure returns (bool) {
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(key, value))));
        return MerkleProof.verifyCalldata(proof, root, leaf);
    }
}
