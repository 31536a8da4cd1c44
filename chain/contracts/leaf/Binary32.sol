// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {NotANumber, Reason} from "./Refusal.sol";
import {Rounding} from "./Rounding.sol";

/// @title Numbers of exact/1 as bit patterns of IEEE 754 binary32
/// @notice Sections 1 and 2 of docs/exact-1.md. A pattern here is finite, not subnormal and not -0: `read` makes it so,
/// and every result is. Functions revert with `NotANumber` where there is no result.
library Binary32 {
    uint32 internal constant ONE = 0x3f800000;
    uint32 internal constant MINUS_ONE = 0xbf800000;
    uint32 internal constant HALF = 0x3f000000;
    uint32 internal constant MINUS_HALF = 0xbf000000;
    uint32 internal constant TWO = 0x40000000;
    uint32 internal constant SIGN = 0x80000000;
    uint32 internal constant LOWEST_NORMAL = 0x00800000;
    uint32 private constant INFINITY = 0x7f800000;
    /// @dev A number so many places below another one changes nothing in a sum: 26 are enough.
    int256 private constant FAR = 100;
    /// @dev Quotients of two significands are 2^-49 away from what lies between two numbers, or exactly there.
    uint256 private constant QUOTIENT_BITS = 64;
    /// @dev Roots are 2^-27 places away from what lies between two numbers; half of these bits lie behind a place.
    uint256 private constant ROOT_BITS = 100;

    /// @notice A pattern from outside as a number: what is below 2^-126 in magnitude, and -0, are +0.
    function read(uint32 x) internal pure returns (uint32) {
        uint32 magnitude = absolute(x);
        if (magnitude >= INFINITY) revert NotANumber(Reason.NotFinite);
        return magnitude < LOWEST_NORMAL ? 0 : x;
    }

    /// @notice (m, e) with x = m · 2^e and 2^23 <= |m| < 2^24; (0, -149) for 0.
    function parts(uint32 x) internal pure returns (int256 m, int256 e) {
        unchecked {
            if (x == 0) return (0, -149);
            m = int256(uint256((x & 0x7fffff) | LOWEST_NORMAL));
            if (x & SIGN != 0) m = -m;
            e = int256(uint256((x >> 23) & 0xff)) - 150;
        }
    }

    function add(uint32 a, uint32 b) internal pure returns (uint32) {
        unchecked {
            (int256 m, int256 e) = parts(a);
            (int256 n, int256 f) = parts(b);
            if (e < f) (m, e, n, f) = (n, f, m, e);
            int256 distance = e - f;
            return distance > FAR ? Rounding.toBinary32(m, e) : Rounding.toBinary32((m << uint256(distance)) + n, f);
        }
    }

    function sub(uint32 a, uint32 b) internal pure returns (uint32) {
        return add(a, neg(b));
    }

    function mul(uint32 a, uint32 b) internal pure returns (uint32) {
        unchecked {
            (int256 m, int256 e) = parts(a);
            (int256 n, int256 f) = parts(b);
            return Rounding.toBinary32(m * n, e + f);
        }
    }

    function div(uint32 a, uint32 b) internal pure returns (uint32) {
        unchecked {
            if (b == 0) revert NotANumber(Reason.DivisionByZero);
            (int256 m, int256 e) = parts(a);
            (int256 n, int256 f) = parts(b);
            return Rounding.toBinary32((m << QUOTIENT_BITS) / n, e - f - int256(QUOTIENT_BITS));
        }
    }

    function sqrt(uint32 x) internal pure returns (uint32) {
        unchecked {
            if (x == 0) return 0;
            (int256 m, int256 e) = parts(x);
            if (m < 0) revert NotANumber(Reason.RootOfNegative);
            uint256 root = Math.sqrt(uint256(m) << (e & 1 == 0 ? ROOT_BITS : ROOT_BITS + 1));
            return Rounding.toBinary32(int256(root), (e >> 1) - int256(ROOT_BITS / 2));
        }
    }

    function neg(uint32 x) internal pure returns (uint32) {
        return x == 0 ? 0 : x ^ SIGN;
    }

    function absolute(uint32 x) internal pure returns (uint32) {
        return x & ~SIGN;
    }

    /// @notice An integer that is ordered as the number is.
    function order(uint32 x) internal pure returns (int256) {
        return x & SIGN == 0 ? int256(uint256(x)) : -int256(uint256(absolute(x)));
    }
}
