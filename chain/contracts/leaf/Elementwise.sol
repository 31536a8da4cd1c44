// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Binary32} from "./Binary32.sol";
import {Elements} from "./Elements.sol";
import {Kinds} from "./Kinds.sol";
import {Rounding} from "./Rounding.sol";
import {Transcendental} from "./Transcendental.sol";

/// @title Kinds that make one number of one or two
/// @notice Sections 2 and 6 of docs/exact-1.md.
library Elementwise {
    using Binary32 for uint32;

    /// @dev The product of two significands whose last place is one of the `PLACES` from here on is rounded to a normal
    /// number.
    int256 private constant LOWEST_PLACE = -172;
    uint256 private constant PLACES = 240;

    function unary(uint256 kind, uint32 x) internal pure returns (uint32) {
        if (kind == Kinds.NEG) return x.neg();
        if (kind == Kinds.SQRT) return x.sqrt();
        if (kind == Kinds.EXP) return Transcendental.exp(x);
        if (kind == Kinds.LOG) return Transcendental.log(x);
        if (kind == Kinds.SIN) return Transcendental.sin(x);
        if (kind == Kinds.COS) return Transcendental.cos(x);
        if (kind == Kinds.TANH) return Transcendental.tanh(x);
        if (kind == Kinds.EXPM1) return Transcendental.expm1(x);
        return sigmoid(x);
    }

    function binary(uint256 kind, uint32 a, uint32 b) internal pure returns (uint32) {
        if (kind == Kinds.ADD) return a.add(b);
        if (kind == Kinds.SUB) return a.sub(b);
        if (kind == Kinds.MUL) return a.mul(b);
        if (kind == Kinds.DIV) return a.div(b);
        int256 difference = a.order() - b.order();
        if (kind == Kinds.MINIMUM) return difference < 0 ? a : b;
        if (kind == Kinds.MAXIMUM) return difference > 0 ? a : b;
        bool holds = kind == Kinds.LE ? difference <= 0 : kind == Kinds.LT ? difference < 0 : difference == 0;
        return holds ? 1 : 0;
    }

    function sigmoid(uint32 x) internal pure returns (uint32) {
        uint32 e = Transcendental.exp(x.absolute().neg());
        uint32 d = Binary32.ONE.add(e);
        return x & Binary32.SIGN == 0 ? Binary32.ONE.div(d) : e.div(d);
    }

    function fromInteger(int256 x) internal pure returns (uint32) {
        return Rounding.toBinary32(x, 0);
    }

    /// @notice base · base · … by `mul`, from 1 on.
    /// @dev A run's steps are many: the loop multiplies significands alone while the product is positive and far from
    /// both ends of the range, where `mul` rounds to 24 bits and nothing else.
    function power(uint32 base, int256 factors) internal pure returns (uint32) {
        unchecked {
            (int256 n, int256 f) = Binary32.parts(base);
            int256 m = 1 << 23;
            int256 e = -23;
            if (n > 0) {
                int256 lowest = LOWEST_PLACE - f;
                int256 step = f + 23;
                assembly ("memory-safe") {
                    // As an unsigned number, a distance below 0 is beyond every span.
                    for {} and(sgt(factors, 0), lt(sub(e, lowest), PLACES)) { factors := sub(factors, 1) } {
                        let product := mul(m, n)
                        let isLong := shr(47, product)
                        let odd := and(shr(add(isLong, 23), product), 1)
                        m := shr(add(isLong, 23), add(add(product, sub(shl(isLong, 0x400000), 1)), odd))
                        e := add(e, add(step, isLong))
                    }
                }
            }
            uint32 result = Rounding.toBinary32(m, e);
            // Once it is 0 it stays so.
            for (; factors > 0 && result != 0; --factors) result = result.mul(base);
            return result;
        }
    }
}
