// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Binary32} from "./Binary32.sol";
import {Constants} from "./Constants.sol";
import {Polynomials} from "./Polynomials.sol";
import {NotANumber, Reason} from "./Refusal.sol";
import {Rounding} from "./Rounding.sol";

/// @title Transcendental functions of exact/1
/// @notice Section 6 of docs/exact-1.md, letter by letter. Numbers are patterns as in `Binary32`.
/// @dev `>>` of a signed integer rounds down, as every shift of that section does.
library Transcendental {
    uint32 private constant TOO_LARGE = 0x43000000; // 128
    uint32 private constant THREE_EIGHTHS = 0x3ec00000;
    uint32 private constant NINE_SIXTEENTHS = 0x3f100000;
    uint32 private constant SIXTEEN = 0x41800000;
    uint32 private constant MINUS_TWO = 0xc0000000;
    int256 private constant LOWEST_PHASE = -2;
    uint256 private constant PHASE_MASK = (1 << 104) - 1;

    function exp(uint32 x) internal pure returns (uint32) {
        if (_isBeyond(x)) return 0;
        (int256 p, int256 k) = _power(x);
        return Rounding.toBinary32(p, k - 30);
    }

    function expm1(uint32 x) internal pure returns (uint32) {
        unchecked {
            if (x == 0) return 0;
            if (Binary32.absolute(x) <= THREE_EIGHTHS) {
                (int256 m, int256 e) = _significand(x);
                int256 f = _shifted(m, e + 9);
                if (x & Binary32.SIGN != 0) (m, f) = (-m, -f);
                return Rounding.toBinary32(m * Polynomials.expm1(f), e - 53);
            }
            if (_isBeyond(x)) return Binary32.MINUS_ONE;
            (int256 p, int256 k) = _power(x);
            if (k <= -32) return Binary32.MINUS_ONE;
            if (k > 32) return Rounding.toBinary32(p, k - 30);
            if (k >= 1) return Rounding.toBinary32((p << uint256(k)) - (1 << 30), -30);
            return Rounding.toBinary32(_shifted(p, 20 + k) - (1 << 50), -50);
        }
    }

    function log(uint32 x) internal pure returns (uint32) {
        unchecked {
            if (x == 0 || x & Binary32.SIGN != 0) revert NotANumber(Reason.LogarithmOfNonPositive);
            (int256 m, int256 e) = _significand(x);
            return _logarithm(m << 8, e);
        }
    }

    /// @notice Gumbel noise of a 32-bit word.
    function gumbel(uint32 word) internal pure returns (uint32) {
        unchecked {
            uint256 j = word | 1;
            uint256 b = Math.log2(j);
            return Binary32.neg(log(Binary32.neg(_logarithm(int256(j << (31 - b)), int256(b) - 32))));
        }
    }

    function sin(uint32 x) internal pure returns (uint32) {
        if (x == 0) return 0;
        (uint256 n, uint32 s, uint32 c) = _turns(x);
        uint32 sine = n & 1 == 0 ? s : c;
        return (n & 2 != 0) != (x & Binary32.SIGN != 0) ? Binary32.neg(sine) : sine;
    }

    function cos(uint32 x) internal pure returns (uint32) {
        if (x == 0) return Binary32.ONE;
        (uint256 n, uint32 s, uint32 c) = _turns(x);
        uint32 cosine = n & 1 == 0 ? c : s;
        return n == 1 || n == 2 ? Binary32.neg(cosine) : cosine;
    }

    function tanh(uint32 x) internal pure returns (uint32) {
        unchecked {
            if (x == 0) return 0;
            bool negative = x & Binary32.SIGN != 0;
            x = Binary32.absolute(x);
            if (x < NINE_SIXTEENTHS) {
                (int256 m, int256 e) = _significand(x);
                int256 a = _shifted(m, e + 8);
                int256 h = -((a * a) >> 30);
                m *= _rest(Polynomials.tanh(h), h);
                return Rounding.toBinary32(negative ? -m : m, e - 53);
            }
            uint32 power = exp(Binary32.mul(MINUS_TWO, x < SIXTEEN ? x : SIXTEEN));
            uint32 lost = Binary32.div(Binary32.add(power, power), Binary32.add(Binary32.ONE, power));
            uint32 result = Binary32.sub(Binary32.ONE, lost);
            return negative ? Binary32.neg(result) : result;
        }
    }

    /// @dev Whether x <= -128. Reverts for x >= 128, where exponentials overflow.
    function _isBeyond(uint32 x) private pure returns (bool) {
        if (Binary32.absolute(x) < TOO_LARGE) return false;
        if (x & Binary32.SIGN == 0) revert NotANumber(Reason.Overflow);
        return true;
    }

    /// @dev (p, k): e^x is about p · 2^(k-30), for |x| < 128.
    function _power(uint32 x) private pure returns (int256 p, int256 k) {
        unchecked {
            (int256 m, int256 e) = _significand(x);
            int256 y = (m * Constants.LOG2E_HI + ((m * Constants.LOG2E_LO) >> 31)) >> uint256(6 - e);
            if (x & Binary32.SIGN != 0) y = -y;
            k = (y + (1 << 46)) >> 47;
            int256 f = (y - (k << 47)) >> 15;
            p = _rest(Polynomials.exp2(f), f);
        }
    }

    /// @dev log of a number from m · 2^(e-31), 2^31 <= m < 2^32: more bits than a binary32 has, for the noise.
    function _logarithm(int256 m, int256 e) private pure returns (uint32) {
        unchecked {
            int256 h = ((1 << 31) - m) << 1;
            if (m > Constants.LOG_SPLIT << 8) (h, e) = ((1 << 32) - m, e + 1);
            int256 t = h * Polynomials.log(h);
            if (e == 0) return Rounding.toBinary32(t, -62);
            return Rounding.toBinary32((t >> 20) + e * Constants.LN2_42, -42);
        }
    }

    /// @dev (n, S, C): |x| holds n quarter turns (mod 4); sine and cosine of what is left.
    function _turns(uint32 x) private pure returns (uint256, uint32 sine, uint32 cosine) {
        unchecked {
            (uint256 n, int256 r, int256 s) = _reduced(x);
            uint256 magnitude = r < 0 ? uint256(-r) : uint256(r);
            int256 b = int256(Math.log2(magnitude)) + 1;
            int256 w = int256(magnitude >> uint256(b - 31));
            int256 v = w >> uint256(s - b);
            int256 u = (v * v) >> 30;
            cosine = Rounding.toBinary32(_rest(Polynomials.cos(u), u), -30);
            w *= Polynomials.sin(u);
            sine = Rounding.toBinary32(r < 0 ? -w : w, b - 61 - s);
            return (n & 3, sine, cosine);
        }
    }

    /// @dev (n, r, s): |x| is n quarter turns and r · 2^-s of one. r has 38 bits or more for every number there is.
    function _reduced(uint32 x) private pure returns (uint256 n, int256 r, int256 s) {
        unchecked {
            (int256 m, int256 e) = _significand(x);
            int256 j = e < LOWEST_PHASE ? LOWEST_PHASE : e;
            uint256 phase = ((Constants.TWO_OVER_PI >> uint256(127 - j)) + 1) >> 1;
            uint256 a = (uint256(m) * (phase & PHASE_MASK)) & PHASE_MASK;
            n = (a + (1 << 101)) >> 102;
            r = int256(a) - int256(n << 102);
            s = 102 + j - e;
        }
    }

    /// @dev (M, e) with |x| = M · 2^(e-23) and 2^23 <= M < 2^24. (0, -126) for 0, which every use survives.
    function _significand(uint32 x) private pure returns (int256 m, int256 e) {
        (m, e) = Binary32.parts(Binary32.absolute(x));
        e += 23;
    }

    /// @dev x · 2^by, rounded down.
    function _shifted(int256 x, int256 by) private pure returns (int256) {
        unchecked {
            return by < 0 ? x >> uint256(-by) : x << uint256(by);
        }
    }

    /// @dev 1 - q · x with 30 bits after the point.
    function _rest(int256 q, int256 x) private pure returns (int256) {
        unchecked {
            return ((1 << 62) + (1 << 31) - q * x) >> 32;
        }
    }
}
