// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Equivocation} from "./Equivocation.sol";
import {PeerRegistry} from "./PeerRegistry.sol";
import {Reputation} from "./Reputation.sol";
import {Settlement} from "./Settlement.sol";
import {StakeVault} from "./StakeVault.sol";
import {SwarmToken} from "./SwarmToken.sol";

/// @title First part of what is there once per chain: registry, token, and implementations of courts and money
/// @notice `SwarmCourts` and `SwarmDeployment` take this contract and add the rest. Creation code of all of it does not fit into one
/// transaction (EIP-3860).
contract SwarmBase {
    PeerRegistry public immutable REGISTRY;
    SwarmToken public immutable TOKEN;
    Settlement public immutable SETTLEMENT;
    StakeVault public immutable VAULT;
    Reputation public immutable REPUTATION;
    Equivocation public immutable EQUIVOCATION;

    /// @param holder Who gets the whole supply of the token.
    constructor(address holder, uint256 supplyWei) {
        REGISTRY = new PeerRegistry();
        TOKEN = new SwarmToken(holder, supplyWei);
        SETTLEMENT = new Settlement(REGISTRY, TOKEN);
        VAULT = new StakeVault(REGISTRY, TOKEN);
        REPUTATION = new Reputation();
        EQUIVOCATION = new Equivocation(REGISTRY);
    }
}
