// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {CreditLine} from "./CreditLine.sol";
import {Epochs} from "./Epochs.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RunContracts, Rules, WEI_PER_MICRO} from "./RunTypes.sol";
import {SwarmToken} from "./SwarmToken.sol";

/// @title Credits become tokens, after everybody had time to object
/// @notice Holds the budget of a run. A final epoch is paid once the time for disputes is over. Claims are cumulative: a
/// line states everything that a peer ever earned, and a claim pays what was not paid yet, so any newer epoch serves as
/// well. One credit is one token.
/// @dev What is not credited stays out of reach of claims: after every claim the escrow must still hold the epoch's
/// reserve, budget minus credited total, whatever the root adds up to. Tokens that somebody sends here are a gift to who
/// claims. Nothing is paid to a peer while a dispute about its work is open; after a lost one, the next claim that covers
/// the refuted round pays nothing and burns what it would have paid. **Known limit:** whoever signs as the majority is believed, up to the budget.
contract Settlement is Epochs {
    using CreditLine for uint256;
    using SafeERC20 for SwarmToken;

    /// @notice A peer's line in an epoch's credits table, with its proof.
    struct ClaimLine {
        bytes32 peerKey;
        uint256 line;
        bytes32[] proof;
    }

    /// @notice Where peers and their owners are registered.
    PeerRegistry public immutable REGISTRY;
    /// @notice What is paid out.
    SwarmToken public immutable TOKEN;
    /// @notice Who pays for the run, and gets back what is not credited at its end.
    address public CREATOR;
    /// @notice The contract that holds back pay, and strikes it.
    address public DISPUTES;

    /// @dev One slot. `struckRound`: what an epoch of a later round pays is forfeited, 0: nothing is, until an epoch of a round
    /// later than `lastStruckRound` was claimed; `forfeitedRound`: of the epoch up to which pay was forfeited before; `holds`:
    /// open disputes about the peer.
    struct Pay {
        uint64 claimedMicro;
        uint40 struckRound;
        uint40 lastStruckRound;
        uint40 forfeitedRound;
        uint32 holds;
    }

    mapping(bytes32 peerKey => Pay) private _pays;

    /// @notice The peer's owner was paid everything up to its line. The token's own event, right after this one, says who that
    /// is and how much was missing; `claimedMicro` is the sum.
    event RewardClaimed(bytes32 indexed peerKey);
    /// @notice The peer lost `amountMicro` of its pay; they are burned. `cumulativeMicro`: paid or forfeited so far.
    event PayForfeited(bytes32 indexed peerKey, uint256 amountMicro, uint256 cumulativeMicro);
    /// @notice What the peer has not claimed up to an epoch of a round after `round` is lost.
    event PayStruck(bytes32 indexed peerKey, uint64 round);
    /// @notice What was never credited went back to the creator.
    event BudgetReclaimed(address indexed creator, uint256 amountMicro);

    /// @notice The epoch is not final, or not unlocked yet.
    error EpochNotClaimable(uint256 epoch, uint64 unlocksAt);
    /// @notice Everything up to this amount was already paid.
    error NothingToClaim(bytes32 peerKey, uint256 claimedMicro);
    /// @notice A dispute about the peer's work is not decided yet.
    error DisputePending(bytes32 peerKey);
    /// @notice The proof does not lead from this line to the epoch's credits root.
    error ClaimProofRejected(bytes32 peerKey, bytes32 creditsRoot);
    /// @notice The peer is not registered, so it has no owner to pay.
    error PeerUnknown(bytes32 peerKey);
    /// @notice The escrow would pay more than was ever credited: the credits root does not add up.
    error EscrowOverdrawn(uint256 reserveMicro);
    /// @notice Only the run's creator may do this.
    error NotTheCreator(address caller);
    /// @notice The run was stopped before, or its budget was given back before.
    error AlreadyDone();
    /// @notice The run was not stopped yet.
    error RunNotStopped();
    /// @notice Only another contract of this run may call this.
    error NotOfThisRun(address caller);

    constructor(PeerRegistry registry, SwarmToken token) {
        REGISTRY = registry;
        TOKEN = token;
        _disableInitializers();
    }

    /// @notice Begin with `budgetMicro` in escrow, which the factory sends. Once, by the factory.
    function initialize(
        RunContracts calldata run,
        Rules calldata rules,
        uint256 budgetMicro,
        address creator,
        address disputes
    ) external initializer {
        _initEpochs(run, rules, budgetMicro);
        CREATOR = creator;
        DISPUTES = disputes;
    }

    /// @notice Pay the peer's owner what it earned and was not paid, according to a final, unlocked epoch. Anybody may call.
    /// @param line The peer's line in that epoch's credits table.
    function claim(bytes32 peerKey, uint256 line, uint256 epoch, bytes32[] calldata proof) external {
        (bytes32 root, uint256 reserveMicro, uint64 round) = _claimable(epoch);
        if (!_pay(root, reserveMicro, round, peerKey, line, proof)) {
            if (_pays[peerKey].holds != 0) revert DisputePending(peerKey);
            revert NothingToClaim(peerKey, _pays[peerKey].claimedMicro);
        }
    }

    /// @notice `claim` for several peers at once, each to its own owner. Anybody may call.
    /// @dev Peers that were paid already, or are in a dispute, are passed over: nobody can spoil the rest by claiming for one
    /// of them first, or by accusing it.
    function claimMany(uint256 epoch, ClaimLine[] calldata lines) external {
        (bytes32 root, uint256 reserveMicro, uint64 round) = _claimable(epoch);
        for (uint256 i = 0; i < lines.length; ++i) {
            _pay(root, reserveMicro, round, lines[i].peerKey, lines[i].line, lines[i].proof);
        }
    }

    /// @notice Pay nothing to a peer while a dispute about its work is open.
    /// @dev Called by the run's disputes contract only, once per dispute.
    function hold(bytes32 peerKey) external onlyDisputes {
        ++_pays[peerKey].holds;
    }

    /// @notice The dispute is decided.
    function release(bytes32 peerKey) external onlyDisputes {
        --_pays[peerKey].holds;
    }

    /// @notice A contribution of the peer to `round` was refuted: the next claim against an epoch of a later round, the first
    /// that can credit it, forfeits what it would have paid. Anybody may make it; what comes after is paid as ever.
    /// @dev Of a peer that is refuted for several rounds, all claims up to the first epoch after the last of them are forfeited:
    /// which of them is struck first makes no difference, nor does a round that never comes.
    function strike(bytes32 peerKey, uint64 round) external onlyDisputes {
        Pay storage pay = _pays[peerKey];
        if (round < pay.forfeitedRound) return;
        uint40 struck = round < type(uint40).max ? uint40(round) : type(uint40).max;
        if (pay.struckRound == 0 || struck < pay.struckRound) pay.struckRound = struck;
        if (struck > pay.lastStruckRound) pay.lastStruckRound = struck;
        emit PayStruck(peerKey, round);
    }

    modifier onlyDisputes() {
        if (msg.sender != DISPUTES) revert NotOfThisRun(msg.sender);
        _;
    }

    /// @notice Round of the newest epoch that is paid, or can be: work of earlier rounds cannot be disputed any more.
    function paidRound() external view returns (uint64) {
        (bool found, uint256 epoch) = latestClaimable();
        return found ? _epochs[epoch].round : 0;
    }

    /// @notice End the run: results are accepted for as long as an epoch and two rounds last. Its creator may, once.
    function stop() external {
        if (msg.sender != CREATOR) revert NotTheCreator(msg.sender);
        if (_run.endsAt != 0) revert AlreadyDone();
        _endAfter(_run);
    }

    /// @notice Send what was never credited back to the creator. Anybody may, once, when the run has ended, everything that was
    /// recorded is in a decided epoch, and the time for disputes is over.
    function reclaim() external {
        Run storage run = _run;
        if (run.endsAt == 0) revert RunNotStopped();
        if (run.reclaimed) revert AlreadyDone();
        uint64 until = uint64(run.endsAt) + run.challengeS + run.answerS + run.disputeS;
        if (block.timestamp < until) revert TooEarly(until);
        (uint256 epochsFinal, bool undecided) = _finalEpochs();
        if (undecided) revert EpochUndecided(_numEpochs - 1);
        uint64 finalRound = epochsFinal == 0 ? 0 : _epochs[epochsFinal - 1].round;
        uint64 settledRound = CONTRIBUTIONS.settledRound();
        if (settledRound > finalRound) revert EpochUndecided(_numEpochs);

        run.reclaimed = true;
        uint256 amountMicro = run.budgetMicro;
        if (epochsFinal != 0) {
            amountMicro = _epochs[epochsFinal - 1].reserveMicro;
            _epochs[epochsFinal - 1].reserveMicro = 0;
        }
        emit BudgetReclaimed(CREATOR, amountMicro);
        TOKEN.safeTransfer(CREATOR, amountMicro * WEI_PER_MICRO);
    }

    /// @notice Everything ever paid for this peer, or forfeited, in millionths of a credit.
    function claimedMicro(bytes32 peerKey) external view returns (uint256) {
        return _pays[peerKey].claimedMicro;
    }

    /// @notice Whether a dispute about the peer is open, so that `claimMany` passes over it.
    function isHeld(bytes32 peerKey) external view returns (bool) {
        return _pays[peerKey].holds != 0;
    }

    /// @notice `claimedMicro` of several peers.
    function claimedOf(bytes32[] calldata peerKeys) external view returns (uint256[] memory claimed) {
        claimed = new uint256[](peerKeys.length);
        for (uint256 i = 0; i < peerKeys.length; ++i) {
            claimed[i] = _pays[peerKeys[i]].claimedMicro;
        }
    }

    /// @notice How many disputes about the peer are open, and the round after which an epoch's pay is forfeited (0: none is):
    /// that of the first refuted contribution, or of what was forfeited last.
    function pending(bytes32 peerKey) external view returns (uint256 holds, uint64 struckRound) {
        return (_pays[peerKey].holds, _pays[peerKey].struckRound);
    }

    /// @notice What the run was given, in millionths of a credit, when it ends (0: nobody stopped it), and whether what was
    /// never credited went back.
    function escrow() external view returns (uint256 budgetMicro, uint64 endsAt, bool reclaimed) {
        return (_run.budgetMicro, _run.endsAt, _run.reclaimed);
    }

    /// @dev Root and reserve of an epoch that is paid. An unchallenged one unlocks after its time to challenge is over, so
    /// that is final then.
    function _claimable(uint256 epoch) private view returns (bytes32 root, uint256 reserveMicro, uint64 round) {
        Epoch storage entry = _epochs[epoch];
        EpochState state;
        uint64 unlocksAt;
        (state, unlocksAt, round) = (entry.state, entry.unlocksAt, entry.round);
        (root, reserveMicro) = (entry.creditsRoot, entry.reserveMicro);
        if (unlocksAt == 0) revert EpochNotOpen(epoch);
        if (state == EpochState.Challenged || state == EpochState.Void || block.timestamp < unlocksAt) {
            revert EpochNotClaimable(epoch, unlocksAt);
        }
    }

    /// @dev Whether there was anything to pay, and no dispute; what is left afterwards must be the reserve at least. What the
    /// peer's slot says is read at once: a claim has no gas to spare.
    function _pay(
        bytes32 root,
        uint256 reserveMicro,
        uint64 round,
        bytes32 peerKey,
        uint256 line,
        bytes32[] calldata proof
    ) private returns (bool) {
        uint256 cumulativeMicro = line.micro();
        Pay storage pay = _pays[peerKey];
        (uint256 claimed, uint256 struckRound, uint256 holds) = (pay.claimedMicro, pay.struckRound, pay.holds);
        if (holds != 0 || cumulativeMicro <= claimed) return false;
        if (!CreditLine.isIn(root, peerKey, line, proof)) revert ClaimProofRejected(peerKey, root);
        address owner = REGISTRY.ownerOf(peerKey);
        if (owner == address(0)) revert PeerUnknown(peerKey);
        pay.claimedMicro = uint64(cumulativeMicro);
        if (struckRound != 0 && round > struckRound) {
            pay.struckRound = round > pay.lastStruckRound ? 0 : uint40(round);
            pay.forfeitedRound = uint40(round);
            emit PayForfeited(peerKey, cumulativeMicro - claimed, cumulativeMicro);
            TOKEN.burn((cumulativeMicro - claimed) * WEI_PER_MICRO);
            _requireReserve(reserveMicro, TOKEN.balanceOf(address(this)));
            return true;
        }
        emit RewardClaimed(peerKey);
        unchecked {
            // both factors of 64 bits
            _requireReserve(reserveMicro, TOKEN.transferTelling(owner, (cumulativeMicro - claimed) * WEI_PER_MICRO));
        }
        return true;
    }

    function _requireReserve(uint256 reserveMicro, uint256 leftWei) private pure {
        unchecked {
            if (leftWei < reserveMicro * WEI_PER_MICRO) revert EscrowOverdrawn(reserveMicro); // of 64 bits
        }
    }
}
