// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {PeerRegistry} from "./PeerRegistry.sol";
import {RewardPool} from "./RewardPool.sol";
import {RoundClock} from "./RoundClock.sol";
import {RoundLedger} from "./RoundLedger.sol";
import {SwarmToken} from "./SwarmToken.sol";

/// @title All contracts of a run, created in one transaction
/// @notice The clock must know the ledger and the ledger the clock, the pool the token and the token the pool. Addresses
/// that this contract creates are known beforehand, so all of them are immutable and nobody ever holds a key to set them.
contract SwarmDeployment {
    /// @notice The rules of a run that the chain enforces. Seconds, counts, millionths of a credit.
    struct Parameters {
        uint64 roundS;
        uint64 startMembers;
        uint64 absenceRounds;
        uint256 roundEmissionMicro;
        uint256 totalEmissionMicro;
    }

    PeerRegistry public immutable REGISTRY;
    RoundClock public immutable CLOCK;
    RoundLedger public immutable LEDGER;
    RewardPool public immutable POOL;
    SwarmToken public immutable TOKEN;

    /// @notice A run exists.
    event SwarmDeployed(
        PeerRegistry registry, RoundClock clock, RoundLedger ledger, RewardPool pool, SwarmToken token, Parameters parameters
    );

    constructor(Parameters memory parameters) {
        address ledgerAhead = _created(3);
        address tokenAhead = _created(5);
        REGISTRY = new PeerRegistry();
        CLOCK = new RoundClock(
            REGISTRY, ledgerAhead, parameters.roundS, parameters.startMembers, parameters.absenceRounds
        );
        LEDGER = new RoundLedger(REGISTRY, CLOCK, parameters.roundEmissionMicro, parameters.totalEmissionMicro);
        POOL = new RewardPool(REGISTRY, LEDGER, SwarmToken(tokenAhead));
        TOKEN = new SwarmToken(address(POOL), parameters.totalEmissionMicro * POOL.WEI_PER_MICRO_CREDIT());
        assert(address(LEDGER) == ledgerAhead && address(TOKEN) == tokenAhead);
        emit SwarmDeployed(REGISTRY, CLOCK, LEDGER, POOL, TOKEN, parameters);
    }

    /// @dev The address of the `nonce`-th contract that this one creates (1 to 127): RLP of (creator, nonce), hashed.
    function _created(uint8 nonce) private view returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"d694", address(this), nonce)))));
    }
}
