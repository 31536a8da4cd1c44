// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title The integers behind the transcendental functions of exact/1
/// @dev Written by `python -m verde.referee.constants`.
library Constants {
    int256 internal constant LOG2E_HI = 1549082004;
    int256 internal constant LOG2E_LO = 1460010030;
    int256 internal constant LOG_SPLIT = 11863283;
    int256 internal constant LN2_42 = 3048493539143;
    uint256 internal constant TWO_OVER_PI = 0x517cc1b727220a94fe13abe8fa9a6ee06db14acc9e21c820ff28;
}
