// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RoundClock} from "./RoundClock.sol";
import {RunContracts, Rules, WEI_PER_MICRO} from "./RunTypes.sol";
import {SwarmToken} from "./SwarmToken.sol";

/// @title What members put at stake, and the bonds of those who challenge
/// @notice Stake belongs to a peer, and goes to whoever owns the peer. It gives weight from the next `refresh` or `enrol`
/// on, stays liable for the unbonding time after its owner asked for it, and can be taken only by the run's courts, which
/// are fixed when the run is created. Half of what is taken is burned, half goes to who reported.
/// @dev **Known limit:** a peer can report itself from another wallet and get half back; the other half is gone in any case.
/// Asking for more of the stake starts the unbonding time of all that is leaving anew.
contract StakeVault is Initializable {
    using SafeERC20 for SwarmToken;

    /// @dev Two slots: amounts of wei fit into 128 bits, as the run's budget limits do. `holds`: open cases about the peer.
    struct Stake {
        uint128 activeWei;
        uint128 exitingWei;
        uint64 readyAt;
        uint32 holds;
    }

    /// @notice The most units that one peer weighs, however much it has at stake.
    uint256 public constant MAX_UNITS = 8;

    /// @notice Where peers and their owners are registered.
    PeerRegistry public immutable REGISTRY;
    /// @notice What is staked.
    SwarmToken public immutable TOKEN;
    /// @notice Where members weigh what their stake is worth.
    RoundClock public CLOCK;
    /// @notice The contract whose challengers' bonds lie here.
    address public SETTLEMENT;
    /// @notice Stake of one unit of weight; 0 = everybody weighs one.
    uint256 public minStakeWei;
    /// @notice Seconds for which leaving stake stays liable.
    uint64 public unbondingS;

    mapping(address court => bool) private _isCourt;
    mapping(bytes32 peerKey => Stake) private _stakes;
    mapping(bytes32 peerKey => mapping(bytes32 given => bool)) private _seen;

    /// @notice The owner put `amountWei` at stake for the peer.
    event StakeDeposited(bytes32 indexed peerKey, uint256 amountWei, bytes32 indexed depositReference);
    /// @notice `amountWei` leave, and can be withdrawn from `readyAt` on, with all that was leaving before.
    event ExitRequested(bytes32 indexed peerKey, uint256 amountWei, uint64 readyAt, bytes32 indexed exitReference);
    /// @notice The stake that left was paid out.
    event StakeWithdrawn(bytes32 indexed peerKey, address indexed owner, uint256 amountWei);
    /// @notice A court took stake: `burnedWei` are gone, `rewardWei` went to `reporter`.
    event StakeSlashed(
        bytes32 indexed peerKey, address indexed court, address indexed reporter, uint256 burnedWei, uint256 rewardWei
    );
    /// @notice A bond came in, went back, was burned, or (half of it) went to who was wrongly accused.
    event BondMoved(address indexed party, uint256 amountWei, BondMove move);

    /// @notice What became of a bond.
    enum BondMove {
        Held,
        Returned,
        Burned,
        Awarded
    }

    /// @notice Only the wallet that owns the peer may do this.
    error NotThePeersOwner(bytes32 peerKey, address caller);
    /// @notice Only another contract of this run may call this.
    error NotOfThisRun(address caller);
    /// @notice An amount is zero or too large.
    error AmountOutOfRange(uint256 amountWei);
    /// @notice The peer has less at stake than was asked for.
    error StakeTooSmall(uint256 activeWei, uint256 askedWei);
    /// @notice What leaves can be withdrawn later, or nothing leaves (0).
    error StakeNotReady(uint64 readyAt);
    /// @notice A case about the peer is not decided yet: its stake stays.
    error DisputePending(bytes32 peerKey);
    /// @notice This deposit or exit was done before.
    error ReferenceUsed(bytes32 peerKey, bytes32 given);

    constructor(PeerRegistry registry, SwarmToken token) {
        REGISTRY = registry;
        TOKEN = token;
        _disableInitializers();
    }

    /// @notice Begin empty. Once, by the factory.
    /// @param courts Contracts that may take stake.
    function initialize(RunContracts calldata run, Rules calldata rules, address[] calldata courts)
        external
        initializer
    {
        CLOCK = RoundClock(run.clock);
        SETTLEMENT = run.settlement;
        minStakeWei = rules.minStakeMicro * WEI_PER_MICRO;
        unbondingS = rules.unbondingS;
        for (uint256 i = 0; i < courts.length; ++i) {
            _isCourt[courts[i]] = true;
        }
    }

    modifier onlyOwnerOf(bytes32 peerKey) {
        if (REGISTRY.ownerOf(peerKey) != msg.sender) revert NotThePeersOwner(peerKey, msg.sender);
        _;
    }

    /// @notice Put tokens at stake for a peer. Its owner may, having approved them.
    /// @param depositReference Any number, not 0, makes sure that the same deposit is not made twice.
    function deposit(bytes32 peerKey, uint256 amountWei, bytes32 depositReference) external onlyOwnerOf(peerKey) {
        _deposit(peerKey, amountWei, depositReference);
    }

    /// @notice `deposit` with an ERC-2612 permit instead of an approval.
    /// @dev A permit that somebody else already handed in is no failure: the allowance is there.
    function depositWithPermit(
        bytes32 peerKey,
        uint256 amountWei,
        bytes32 depositReference,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external onlyOwnerOf(peerKey) {
        if (TOKEN.allowance(msg.sender, address(this)) < amountWei) {
            TOKEN.permit(msg.sender, address(this), amountWei, deadline, v, r, s);
        }
        _deposit(peerKey, amountWei, depositReference);
    }

    /// @notice Let `amountWei` of the stake leave. It weighs no more from the next round on and stays liable meanwhile.
    function requestExit(bytes32 peerKey, uint256 amountWei, bytes32 exitReference) external onlyOwnerOf(peerKey) {
        _use(peerKey, exitReference);
        Stake memory stake = _stakes[peerKey];
        if (amountWei == 0) revert AmountOutOfRange(amountWei);
        if (amountWei > stake.activeWei) revert StakeTooSmall(stake.activeWei, amountWei);
        stake.activeWei -= uint128(amountWei);
        stake.exitingWei += uint128(amountWei);
        stake.readyAt = uint64(block.timestamp) + unbondingS;
        _stakes[peerKey] = stake;
        emit ExitRequested(peerKey, amountWei, stake.readyAt, exitReference);
        CLOCK.stakeChanged(peerKey);
    }

    /// @notice Pay what left, and is ready, to the peer's owner. Anybody may call.
    function withdraw(bytes32 peerKey) external {
        Stake storage stake = _stakes[peerKey];
        uint256 amountWei = stake.exitingWei;
        if (amountWei == 0 || block.timestamp < stake.readyAt) revert StakeNotReady(amountWei == 0 ? 0 : stake.readyAt);
        if (stake.holds != 0) revert DisputePending(peerKey);
        address owner = REGISTRY.ownerOf(peerKey);
        stake.exitingWei = 0;
        emit StakeWithdrawn(peerKey, owner, amountWei);
        TOKEN.safeTransfer(owner, amountWei);
    }

    /// @notice Take up to `amountWei` of a peer's stake, first what is active, then what is leaving.
    /// @dev Called by the run's courts only. Rounds the burned half up.
    function slash(bytes32 peerKey, uint256 amountWei, address reporter) external returns (uint256 slashedWei) {
        if (!_isCourt[msg.sender]) revert NotOfThisRun(msg.sender);
        Stake memory stake = _stakes[peerKey];
        uint256 fromActive = amountWei < stake.activeWei ? amountWei : stake.activeWei;
        uint256 rest = amountWei - fromActive;
        uint256 fromExiting = rest < stake.exitingWei ? rest : stake.exitingWei;
        slashedWei = fromActive + fromExiting;
        if (slashedWei == 0) return 0;
        stake.activeWei -= uint128(fromActive);
        stake.exitingWei -= uint128(fromExiting);
        _stakes[peerKey] = stake;
        uint256 rewardWei = slashedWei / 2;
        emit StakeSlashed(peerKey, msg.sender, reporter, slashedWei - rewardWei, rewardWei);
        CLOCK.stakeChanged(peerKey);
        TOKEN.burn(slashedWei - rewardWei);
        TOKEN.safeTransfer(reporter, rewardWei);
    }

    /// @notice Keep a peer's stake here while a case about it is open.
    /// @dev Called by the run's courts only, once per case.
    function hold(bytes32 peerKey) external {
        if (!_isCourt[msg.sender]) revert NotOfThisRun(msg.sender);
        ++_stakes[peerKey].holds;
    }

    /// @notice The case is decided.
    function release(bytes32 peerKey) external {
        if (!_isCourt[msg.sender]) revert NotOfThisRun(msg.sender);
        --_stakes[peerKey].holds;
    }

    /// @notice Take a bond from `from`, who approved it to this contract.
    /// @dev Called by the settlement and the courts only, which keep account of whose bond it is.
    function holdBond(address from, uint256 amountWei) external {
        _onlyBondKeeper();
        emit BondMoved(from, amountWei, BondMove.Held);
        TOKEN.safeTransferFrom(from, address(this), amountWei);
    }

    /// @notice Give a bond back.
    function returnBond(address to, uint256 amountWei) external {
        _onlyBondKeeper();
        emit BondMoved(to, amountWei, BondMove.Returned);
        TOKEN.safeTransfer(to, amountWei);
    }

    /// @notice Burn the bond of `from`.
    function burnBond(address from, uint256 amountWei) external {
        _onlyBondKeeper();
        emit BondMoved(from, amountWei, BondMove.Burned);
        TOKEN.burn(amountWei);
    }

    /// @notice Burn half of the bond of `from`, rounded up, and give the rest to `to`, whom it accused wrongly.
    function splitBond(address from, uint256 amountWei, address to) external {
        _onlyBondKeeper();
        uint256 awardWei = amountWei / 2;
        emit BondMoved(from, amountWei - awardWei, BondMove.Burned);
        emit BondMoved(to, awardWei, BondMove.Awarded);
        TOKEN.burn(amountWei - awardWei);
        TOKEN.safeTransfer(to, awardWei);
    }

    /// @notice How many cases about the peer are open: none of its stake can be withdrawn meanwhile.
    function holdsOf(bytes32 peerKey) external view returns (uint256) {
        return _stakes[peerKey].holds;
    }

    /// @notice A peer's stake: what counts, what is leaving, and when that can be withdrawn.
    function stakeOf(bytes32 peerKey) external view returns (uint256 activeWei, uint256 exitingWei, uint64 readyAt) {
        Stake storage stake = _stakes[peerKey];
        return (stake.activeWei, stake.exitingWei, stake.readyAt);
    }

    /// @notice What the peer weighs when it enrols or is refreshed; 0 = it has too little at stake.
    function unitsOf(bytes32 peerKey) external view returns (uint256) {
        if (minStakeWei == 0) return 1;
        uint256 units = _stakes[peerKey].activeWei / minStakeWei;
        return units < MAX_UNITS ? units : MAX_UNITS;
    }

    /// @notice Whether the deposit or exit with this reference was done.
    function isDone(bytes32 peerKey, bytes32 given) external view returns (bool) {
        return _seen[peerKey][given];
    }

    /// @notice Whether `account` may take stake.
    function isCourt(address account) external view returns (bool) {
        return _isCourt[account];
    }

    function _deposit(bytes32 peerKey, uint256 amountWei, bytes32 depositReference) private {
        _use(peerKey, depositReference);
        if (amountWei == 0 || amountWei > type(uint96).max) revert AmountOutOfRange(amountWei);
        _stakes[peerKey].activeWei += uint128(amountWei);
        emit StakeDeposited(peerKey, amountWei, depositReference);
        TOKEN.safeTransferFrom(msg.sender, address(this), amountWei);
    }

    function _use(bytes32 peerKey, bytes32 given) private {
        if (given == 0) return;
        if (_seen[peerKey][given]) revert ReferenceUsed(peerKey, given);
        _seen[peerKey][given] = true;
    }

    function _onlyBondKeeper() private view {
        if (msg.sender != SETTLEMENT && !_isCourt[msg.sender]) revert NotOfThisRun(msg.sender);
    }
}
