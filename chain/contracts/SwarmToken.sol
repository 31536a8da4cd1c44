// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title The swarm's token
/// @notice A fixed supply, minted once. Nobody can mint more; holders, and courts over what they hold, can burn.
contract SwarmToken is ERC20, ERC20Permit, ERC20Burnable {
    constructor(address to, uint256 supplyWei) ERC20("RL Swarm", "SWARM") ERC20Permit("RL Swarm") {
        _mint(to, supplyWei);
    }

    /// @notice `transfer`, which tells what the sender has left: two calls in one, for who must look at both.
    function transferTelling(address to, uint256 value) external returns (uint256 leftWei) {
        _transfer(msg.sender, to, value);
        return balanceOf(msg.sender);
    }
}
