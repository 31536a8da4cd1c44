// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Contributions} from "./Contributions.sol";
import {CreditLine} from "./CreditLine.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RoundClock} from "./RoundClock.sol";
import {RunContracts, Rules, Signature, WEI_PER_MICRO} from "./RunTypes.sol";
import {StakeVault} from "./StakeVault.sol";
import {SwarmToken} from "./SwarmToken.sol";

/// @title Credits become tokens, after everybody had time to object
/// @notice Holds the budget of a run. Every few rounds anybody opens an epoch with the latest credits root. Who finds it
/// wrong challenges it with a bond: it then stands only if members of more than half of all weight sign its result;
/// otherwise the run goes back to the last final epoch. A final epoch is paid once the time for disputes is over. Claims
/// are cumulative: a line states everything that a peer ever earned, and a claim pays what was not paid yet, so any newer
/// epoch serves as well. One credit is one token.
/// @dev One epoch is undecided at a time. What is not credited stays out of reach of claims: after every claim the escrow
/// must still hold the epoch's reserve, budget minus credited total, whatever the root adds up to. Bonds lie in the vault,
/// so that this balance is escrow alone; tokens that somebody sends here are a gift to who claims or to the creator.
/// **Known limits:** a majority of weight can sign something false and be paid for it, up to the budget. A challenge costs
/// the members gas even when it fails; its bond is burned then.
contract Settlement is Initializable {
    using CreditLine for uint256;
    using SafeCast for uint256;
    using SafeERC20 for SwarmToken;

    /// @notice Where an epoch is. Pending: may be challenged. Final: stands, and is paid from its unlocking on.
    enum EpochState {
        Pending,
        Challenged,
        Final,
        Void
    }

    /// @notice An epoch, as of now.
    struct EpochView {
        uint64 round;
        bytes32 creditsRoot;
        uint256 totalMicro;
        uint64 openedAt;
        uint64 unlocksAt;
        EpochState state;
        bytes32 dataHash;
        address challenger;
        uint64 answerBy;
    }

    /// @dev Three slots, of which a claim reads two. `reserveMicro`: budget minus total, what claims leave untouched.
    struct Epoch {
        bytes32 creditsRoot;
        uint64 reserveMicro;
        uint64 totalMicro;
        uint40 round;
        uint40 openedAt;
        uint40 unlocksAt;
        EpochState state;
        bytes32 dataHash;
    }

    /// @notice A peer's line in an epoch's credits table, with its proof.
    struct ClaimLine {
        bytes32 peerKey;
        uint256 line;
        bytes32[] proof;
    }

    struct Challenge {
        address challenger;
        uint64 answerBy;
    }

    /// @dev What one sender has shown of an answer: signatures up to `last`, in ascending order.
    struct Progress {
        address last;
        uint96 weight;
    }

    /// @dev Two slots. `epochsFinal`: index of the last final epoch plus one, as far as it was looked at.
    struct Run {
        uint64 budgetMicro;
        uint64 bondMicro;
        uint40 endsAt;
        uint32 epochsFinal;
        bool reclaimed;
        uint40 epochRounds;
        uint40 roundS;
        uint40 challengeS;
        uint40 disputeS;
        uint40 answerS;
    }

    /// @notice Where peers and their owners are registered.
    PeerRegistry public immutable REGISTRY;
    /// @notice What is paid out.
    SwarmToken public immutable TOKEN;
    /// @notice Where the credits root comes from.
    Contributions public CONTRIBUTIONS;
    /// @notice Where members' weights come from.
    RoundClock public CLOCK;
    /// @notice Where bonds lie.
    StakeVault public VAULT;
    /// @notice Who pays for the run, and gets back what is not credited at its end.
    address public CREATOR;
    /// @notice The contract that may declare pay forfeited; zero: none.
    address public DISPUTES;

    Run private _run;
    uint256 private _numEpochs;
    mapping(uint256 epoch => Epoch) private _epochs;
    mapping(uint256 epoch => Challenge) private _challenges;
    mapping(uint256 epoch => mapping(address sender => Progress)) private _progress;
    mapping(bytes32 peerKey => uint256) private _claimedMicro;

    /// @notice The credits after `round` will be paid unless they are challenged until `challengeableUntil`.
    event EpochOpened(
        uint256 indexed epoch,
        uint64 indexed round,
        bytes32 creditsRoot,
        bytes32 dataHash,
        uint256 totalMicro,
        uint64 challengeableUntil,
        uint64 unlocksAt
    );
    /// @notice Members of more than half of all weight must sign the epoch's result until `answerBy`.
    event EpochChallenged(uint256 indexed epoch, address indexed challenger, uint64 answerBy);
    /// @notice Signatures of this weight are there by now, out of `needed`.
    event EpochAnswered(uint256 indexed epoch, address indexed sender, uint256 weight, uint256 needed);
    /// @notice The challenge failed: the epoch stands.
    event EpochAffirmed(uint256 indexed epoch, uint64 unlocksAt);
    /// @notice The challenge went unanswered: the run goes back to `toRound`.
    event EpochVoided(uint256 indexed epoch, uint64 toRound);
    /// @notice `amountMicro` were paid to the peer's owner; `cumulativeMicro` is everything ever paid for this peer.
    event RewardClaimed(bytes32 indexed peerKey, address indexed owner, uint256 amountMicro, uint256 cumulativeMicro);
    /// @notice The peer lost `amountMicro` of its pay; they are burned.
    event PayForfeited(bytes32 indexed peerKey, uint256 amountMicro);
    /// @notice The creator ends the run.
    event RunStopped(uint64 endsAt);
    /// @notice What was never credited went back to the creator.
    event BudgetReclaimed(address indexed creator, uint256 amountMicro);

    /// @notice There is no result after the last final epoch, or the rounds up to `dueRound` are not over.
    error EpochNotDue(uint64 settledRound, uint64 dueRound);
    /// @notice The epoch before is not decided yet.
    error EpochUndecided(uint256 epoch);
    /// @notice There is no such epoch, or it is not in the state that this needs.
    error EpochNotOpen(uint256 epoch);
    /// @notice The time to challenge or to answer is over.
    error TooLate(uint64 until);
    /// @notice The time to challenge, to answer or to wait is not over.
    error TooEarly(uint64 until);
    /// @notice The result is not the one that the epoch was opened with.
    error ResultNotOfEpoch(uint256 epoch);
    /// @notice Signatures must be ordered by the signing account, each account once.
    error SignaturesUnordered(address signer);
    /// @notice The epoch is not final, or not unlocked yet.
    error EpochNotClaimable(uint256 epoch, uint64 unlocksAt);
    /// @notice Everything up to this amount was already paid.
    error NothingToClaim(bytes32 peerKey, uint256 claimedMicro);
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
        CONTRIBUTIONS = Contributions(run.contributions);
        CLOCK = RoundClock(run.clock);
        VAULT = StakeVault(run.vault);
        CREATOR = creator;
        DISPUTES = disputes;
        _run = Run({
            budgetMicro: budgetMicro.toUint64(),
            bondMicro: rules.bondMicro.toUint64(),
            endsAt: 0,
            epochsFinal: 0,
            reclaimed: false,
            epochRounds: uint40(rules.epochRounds),
            roundS: uint40(rules.roundS),
            challengeS: uint40(rules.challengeS),
            disputeS: uint40(rules.disputeS),
            answerS: uint40(rules.answerS)
        });
    }

    /// @notice Open the next epoch with the latest recorded result. Anybody may, when there is a new one, no epoch is undecided,
    /// and the run's epoch rounds are over since the last final epoch (or the run has ended).
    /// @dev Rounds without a result count: members who cannot build on a false result must be able to get rid of it.
    function openEpoch() external returns (uint256 epoch) {
        Run storage run = _run;
        epoch = _numEpochs;
        uint64 lastRound = 0;
        if (epoch != 0) {
            EpochState state = _stateOf(_epochs[epoch - 1]);
            if (state == EpochState.Pending || state == EpochState.Challenged) revert EpochUndecided(epoch - 1);
            if (state == EpochState.Final) run.epochsFinal = uint32(epoch);
            if (run.epochsFinal != 0) lastRound = _epochs[run.epochsFinal - 1].round;
        }
        uint64 settledRound = CONTRIBUTIONS.settledRound();
        if (settledRound <= lastRound) revert EpochNotDue(settledRound, lastRound + 1);
        uint64 dueRound = lastRound + run.epochRounds;
        if (CLOCK.round() <= dueRound && !_hasEnded(run)) revert EpochNotDue(settledRound, dueRound);

        uint256 totalMicro = CONTRIBUTIONS.totalMicroCredits();
        uint40 challengeableUntil = uint40(block.timestamp) + run.challengeS;
        Epoch memory opened = Epoch({
            creditsRoot: CONTRIBUTIONS.creditsRoot(),
            reserveMicro: run.budgetMicro - uint64(totalMicro),
            totalMicro: uint64(totalMicro),
            round: uint40(settledRound),
            openedAt: uint40(block.timestamp),
            unlocksAt: challengeableUntil + run.disputeS,
            state: EpochState.Pending,
            dataHash: CONTRIBUTIONS.dataHash()
        });
        _epochs[epoch] = opened;
        _numEpochs = epoch + 1;
        emit EpochOpened(
            epoch, settledRound, opened.creditsRoot, opened.dataHash, totalMicro, challengeableUntil, opened.unlocksAt
        );
    }

    /// @notice Object to an epoch, with the run's bond, which the caller approved to the vault. Anybody may, once per epoch.
    function challenge(uint256 epoch) external {
        Epoch storage entry = _undecided(epoch, EpochState.Pending);
        uint64 until = uint64(entry.openedAt) + _run.challengeS;
        if (block.timestamp >= until) revert TooLate(until);
        uint64 answerBy = uint64(block.timestamp) + _run.answerS;
        entry.state = EpochState.Challenged;
        entry.unlocksAt += _run.answerS;
        _challenges[epoch] = Challenge(msg.sender, answerBy);
        emit EpochChallenged(epoch, msg.sender, answerBy);
        VAULT.holdBond(msg.sender, _run.bondMicro * WEI_PER_MICRO);
    }

    /// @notice Answer a challenge with members' signatures over the epoch's result. When signatures of more than half of all
    /// weight in the result's round are there, the epoch stands and the bond is burned.
    /// @param signatures In ascending order of the signing accounts. More than fit into one transaction can be sent in
    /// several by the same account, each going on after the last signature of the one before.
    function affirm(uint256 epoch, Contributions.RoundResult calldata result, Signature[] calldata signatures) external {
        Epoch storage entry = _undecided(epoch, EpochState.Challenged);
        Challenge memory challenged = _challenges[epoch];
        if (block.timestamp >= challenged.answerBy) revert TooLate(challenged.answerBy);
        if (
            result.round != entry.round || result.creditsRoot != entry.creditsRoot || result.dataHash != entry.dataHash
                || result.totalMicroCredits != entry.totalMicro
        ) revert ResultNotOfEpoch(epoch);

        address[] memory signers = CONTRIBUTIONS.signersOf(result, signatures);
        Progress memory progress = _progress[epoch][msg.sender];
        if (signers.length != 0) {
            if (signers[0] <= progress.last) revert SignaturesUnordered(signers[0]);
            progress.weight += uint96(CLOCK.signedWeight(result.round, signers));
            progress.last = signers[signers.length - 1];
            _progress[epoch][msg.sender] = progress;
        }
        uint256 needed = CLOCK.totalWeight(result.round) / 2 + 1;
        emit EpochAnswered(epoch, msg.sender, progress.weight, needed);
        if (progress.weight < needed) return;
        entry.state = EpochState.Final;
        emit EpochAffirmed(epoch, entry.unlocksAt);
        VAULT.burnBond(challenged.challenger, _run.bondMicro * WEI_PER_MICRO);
    }

    /// @notice Give up an epoch whose challenge was not answered in time: the run goes back to the last final epoch, and the
    /// bond to the challenger. Anybody may.
    /// @dev A run that is ending gets time to do the lost rounds again.
    function voidEpoch(uint256 epoch) external {
        Epoch storage entry = _undecided(epoch, EpochState.Challenged);
        Challenge memory challenged = _challenges[epoch];
        if (block.timestamp < challenged.answerBy) revert TooEarly(challenged.answerBy);
        entry.state = EpochState.Void;
        Run storage run = _run;
        Epoch memory last;
        if (run.epochsFinal != 0) last = _epochs[run.epochsFinal - 1];
        emit EpochVoided(epoch, last.round);
        if (run.endsAt != 0) _endAfter(run);
        CONTRIBUTIONS.rollback(last.round, last.creditsRoot, last.dataHash, last.totalMicro);
        VAULT.returnBond(challenged.challenger, run.bondMicro * WEI_PER_MICRO);
    }

    /// @notice Pay the peer's owner what it earned and was not paid, according to a final, unlocked epoch. Anybody may call.
    /// @param line The peer's line in that epoch's credits table.
    function claim(bytes32 peerKey, uint256 line, uint256 epoch, bytes32[] calldata proof) external {
        (bytes32 root, uint256 reserveMicro) = _claimable(epoch);
        if (!_pay(root, peerKey, line, proof)) revert NothingToClaim(peerKey, _claimedMicro[peerKey]);
        _requireReserve(reserveMicro);
    }

    /// @notice `claim` for several peers at once, each to its own owner. Anybody may call.
    /// @dev Peers that were paid already are passed over: nobody can spoil the rest by claiming for one of them first.
    function claimMany(uint256 epoch, ClaimLine[] calldata lines) external {
        (bytes32 root, uint256 reserveMicro) = _claimable(epoch);
        for (uint256 i = 0; i < lines.length; ++i) {
            _pay(root, lines[i].peerKey, lines[i].line, lines[i].proof);
        }
        _requireReserve(reserveMicro);
    }

    /// @notice Take `amountMicro` of the pay that a peer did not claim yet, and burn them.
    /// @dev Called by the run's disputes contract only. They count as claimed: a later line must exceed them.
    function forfeit(bytes32 peerKey, uint256 amountMicro) external {
        if (msg.sender != DISPUTES) revert NotOfThisRun(msg.sender);
        (bool found, uint256 epoch) = latestClaimable();
        if (!found) revert EpochNotOpen(epoch);
        _claimedMicro[peerKey] += amountMicro;
        emit PayForfeited(peerKey, amountMicro);
        TOKEN.burn(amountMicro * WEI_PER_MICRO);
        _requireReserve(_epochs[epoch].reserveMicro);
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

    /// @notice An epoch, as of now.
    function epochs(uint256 epoch) external view returns (EpochView memory) {
        Epoch memory entry = _epochs[epoch];
        if (entry.openedAt == 0) revert EpochNotOpen(epoch);
        Challenge memory challenged = _challenges[epoch];
        return EpochView({
            round: entry.round,
            creditsRoot: entry.creditsRoot,
            totalMicro: entry.totalMicro,
            openedAt: entry.openedAt,
            unlocksAt: entry.unlocksAt,
            state: _stateOf(_epochs[epoch]),
            dataHash: entry.dataHash,
            challenger: challenged.challenger,
            answerBy: challenged.answerBy
        });
    }

    /// @notice How many epochs were opened.
    function numEpochs() external view returns (uint256) {
        return _numEpochs;
    }

    /// @notice The newest epoch that is paid now. `found` is false when there is none.
    function latestClaimable() public view returns (bool found, uint256 epoch) {
        for (uint256 i = _numEpochs; i > 0; --i) {
            Epoch storage entry = _epochs[i - 1];
            if (_stateOf(entry) == EpochState.Final && block.timestamp >= entry.unlocksAt) return (true, i - 1);
        }
        return (false, 0);
    }

    /// @notice Round and credits root of the last final epoch; zeros when there is none.
    function lastFinal() external view returns (uint64 round, bytes32 creditsRoot) {
        (uint256 epochsFinal,) = _finalEpochs();
        if (epochsFinal == 0) return (0, 0);
        Epoch storage entry = _epochs[epochsFinal - 1];
        return (entry.round, entry.creditsRoot);
    }

    /// @notice Everything ever paid for this peer, or forfeited, in millionths of a credit.
    function claimedMicro(bytes32 peerKey) external view returns (uint256) {
        return _claimedMicro[peerKey];
    }

    /// @notice What the run was given, in millionths of a credit, when it ends (0: nobody stopped it), and whether what was
    /// never credited went back.
    function escrow() external view returns (uint256 budgetMicro, uint64 endsAt, bool reclaimed) {
        return (_run.budgetMicro, _run.endsAt, _run.reclaimed);
    }

    /// @notice What a challenger puts at stake.
    function bondMicro() external view returns (uint256) {
        return _run.bondMicro;
    }

    function _undecided(uint256 epoch, EpochState state) private view returns (Epoch storage entry) {
        entry = _epochs[epoch];
        if (entry.openedAt == 0 || entry.state != state) revert EpochNotOpen(epoch);
    }

    function _endAfter(Run storage run) private {
        uint64 endsAt = uint64(block.timestamp) + (uint64(run.epochRounds) + 2) * run.roundS;
        if (endsAt < run.endsAt) endsAt = run.endsAt;
        run.endsAt = uint40(endsAt);
        emit RunStopped(endsAt);
        CONTRIBUTIONS.endRun(endsAt);
    }

    function _hasEnded(Run storage run) private view returns (bool) {
        return run.endsAt != 0 && block.timestamp >= run.endsAt;
    }

    /// @dev A pending epoch that nobody challenged in time is final without anybody having to say so.
    function _stateOf(Epoch storage entry) private view returns (EpochState state) {
        state = entry.state;
        if (state == EpochState.Pending && block.timestamp >= uint256(entry.openedAt) + _run.challengeS) {
            return EpochState.Final;
        }
    }

    /// @dev How many epochs there are up to the last final one, and whether the newest is undecided.
    function _finalEpochs() private view returns (uint256 epochsFinal, bool undecided) {
        epochsFinal = _run.epochsFinal;
        uint256 count = _numEpochs;
        if (count == 0) return (0, false);
        EpochState state = _stateOf(_epochs[count - 1]);
        if (state == EpochState.Final) epochsFinal = count;
        undecided = state == EpochState.Pending || state == EpochState.Challenged;
    }

    /// @dev Root and reserve of an epoch that is paid. An unchallenged one unlocks after its time to challenge is over, so
    /// that is final then.
    function _claimable(uint256 epoch) private view returns (bytes32 root, uint256 reserveMicro) {
        Epoch storage entry = _epochs[epoch];
        EpochState state = entry.state;
        uint64 unlocksAt = entry.unlocksAt;
        if (unlocksAt == 0) revert EpochNotOpen(epoch);
        if (state == EpochState.Challenged || state == EpochState.Void || block.timestamp < unlocksAt) {
            revert EpochNotClaimable(epoch, unlocksAt);
        }
        return (entry.creditsRoot, entry.reserveMicro);
    }

    /// @dev Whether there was anything to pay.
    function _pay(bytes32 root, bytes32 peerKey, uint256 line, bytes32[] calldata proof) private returns (bool) {
        uint256 cumulativeMicro = line.micro();
        uint256 claimed = _claimedMicro[peerKey];
        if (cumulativeMicro <= claimed) return false;
        if (!CreditLine.isIn(root, peerKey, line, proof)) revert ClaimProofRejected(peerKey, root);
        address owner = REGISTRY.ownerOf(peerKey);
        if (owner == address(0)) revert PeerUnknown(peerKey);
        _claimedMicro[peerKey] = cumulativeMicro;
        emit RewardClaimed(peerKey, owner, cumulativeMicro - claimed, cumulativeMicro);
        TOKEN.safeTransfer(owner, (cumulativeMicro - claimed) * WEI_PER_MICRO);
        return true;
    }

    function _requireReserve(uint256 reserveMicro) private view {
        if (TOKEN.balanceOf(address(this)) < reserveMicro * WEI_PER_MICRO) revert EscrowOverdrawn(reserveMicro);
    }
}
