// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {NotANumber, Reason} from "./Refusal.sol";

/// @title Big integers times powers of two, rounded once
/// @notice `out` of section 1 of docs/exact-1.md: nearest on IEEE's grid, ties to even, then +0 below 2^-126.
library Rounding {
    /// @dev Exponent of the last place of numbers below 2^-125, and the bias that makes a field of an exponent.
    int256 private constant LOWEST_PLACE = -149;
    uint256 private constant HIDDEN_BIT = 1 << 23;
    uint256 private constant INFINITY = 0x7f800000;

    /// @notice The binary32 of `significand` times 2^`exponent`.
    function toBinary32(int256 significand, int256 exponent) internal pure returns (uint32) {
        unchecked {
            if (significand == 0) return 0;
            uint256 magnitude = significand < 0 ? uint256(-significand) : uint256(significand);
            int256 top = int256(Math.log2(magnitude)) + exponent;
            if (top < -127) return 0;
            if (top > 127) revert NotANumber(Reason.Overflow);
            int256 place = top < -126 ? LOWEST_PLACE : top - 23;
            uint256 rounded = nearest(magnitude, place - exponent);
            if (rounded < HIDDEN_BIT) return 0;
            // A significand that was rounded up to 2^24 carries into the exponent by itself.
            uint256 bits = (uint256(place - LOWEST_PLACE) << 23) + rounded;
            if (bits >= INFINITY) revert NotANumber(Reason.Overflow);
            return uint32(significand < 0 ? bits | 1 << 31 : bits);
        }
    }

    /// @notice The integer nearest to `magnitude` times 2^-`shift`, ties to even.
    /// @dev For a negative `shift` the caller sees to it that nothing is lost on the left.
    function nearest(uint256 magnitude, int256 shift) internal pure returns (uint256 rounded) {
        unchecked {
            if (shift <= 0) return magnitude << uint256(-shift);
            if (shift > 255) return 0;
            uint256 half = 1 << uint256(shift - 1);
            rounded = magnitude >> uint256(shift);
            uint256 rest = magnitude & ((half << 1) - 1);
            if (rest > half || (rest == half && rounded & 1 == 1)) ++rounded;
        }
    }
}
