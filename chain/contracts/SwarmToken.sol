// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title The swarm's token
/// @notice A fixed supply, minted once, all of it to the reward pool. Nobody can mint more.
contract SwarmToken is ERC20, ERC20Permit {
    constructor(address pool, uint256 supply) ERC20("RL Swarm", "SWARM") ERC20Permit("RL Swarm") {
        _mint(pool, supply);
    }
}
