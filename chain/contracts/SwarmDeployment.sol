// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Contributions} from "./Contributions.sol";
import {DataRequests} from "./DataRequests.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {RoundClock} from "./RoundClock.sol";
import {RunFactory} from "./RunFactory.sol";
import {RunContracts} from "./RunTypes.sol";
import {SwarmCourts} from "./SwarmCourts.sol";
import {SwarmBase} from "./SwarmBase.sol";
import {SwarmToken} from "./SwarmToken.sol";

/// @title Last part of what is there once per chain: the other implementations, and the factory that makes runs of all
contract SwarmDeployment {
    PeerRegistry public immutable REGISTRY;
    SwarmToken public immutable TOKEN;
    RunFactory public immutable FACTORY;

    /// @notice Runs can be made.
    event SwarmDeployed(
        PeerRegistry registry, SwarmToken token, RunFactory factory, RunContracts implementations
    );

    constructor(SwarmBase base, SwarmCourts courts) {
        REGISTRY = base.REGISTRY();
        TOKEN = base.TOKEN();
        RunContracts memory implementations = RunContracts({
            clock: address(new RoundClock(REGISTRY)),
            contributions: address(new Contributions(REGISTRY)),
            settlement: address(base.SETTLEMENT()),
            vault: address(base.VAULT()),
            reputation: address(base.REPUTATION()),
            equivocation: address(base.EQUIVOCATION()),
            disputes: address(courts.DISPUTES()),
            requests: address(new DataRequests(REGISTRY))
        });
        FACTORY = new RunFactory(REGISTRY, TOKEN, implementations);
        emit SwarmDeployed(REGISTRY, TOKEN, FACTORY, implementations);
    }
}
