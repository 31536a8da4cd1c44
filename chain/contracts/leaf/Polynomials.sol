// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title POLY of section 6 of docs/exact-1.md for each table
/// @notice x has 32 bits after the point, coefficients and results 30.
/// @dev Written by `python -m verde.referee.constants`.
library Polynomials {
    /// @notice Horner's step: the nearest integer to (q · x) / 2^32 + c, ties up.
    function step(int256 q, int256 x, int256 c) private pure returns (int256) {
        unchecked {
            return (q * x + (c << 32) + (1 << 31)) >> 32;
        }
    }

    function exp2(int256 x) internal pure returns (int256 q) {
        q = -16425;
        q = step(q, x, -166016);
        q = step(q, x, -1431674);
        q = step(q, x, -10327310);
        q = step(q, x, -59597083);
        q = step(q, x, -257941250);
        q = step(q, x, -744261118);
    }

    function log(int256 x) internal pure returns (int256 q) {
        q = -56219925;
        q = step(q, x, -105274159);
        q = step(q, x, -107881044);
        q = step(q, x, -106794321);
        q = step(q, x, -118176436);
        q = step(q, x, -134168715);
        q = step(q, x, -153446423);
        q = step(q, x, -178960814);
        q = step(q, x, -214747164);
        q = step(q, x, -268435378);
        q = step(q, x, -357913951);
        q = step(q, x, -536870912);
        q = step(q, x, -1073741824);
    }

    function expm1(int256 x) internal pure returns (int256 q) {
        q = 26714;
        q = step(q, x, 213878);
        q = step(q, x, 1491301);
        q = step(q, x, 8947775);
        q = step(q, x, 44739243);
        q = step(q, x, 178956973);
        q = step(q, x, 536870912);
        q = step(q, x, 1073741824);
    }

    function tanh(int256 x) internal pure returns (int256 q) {
        q = -1018236;
        q = step(q, x, -3640013);
        q = step(q, x, -9471967);
        q = step(q, x, -23477332);
        q = step(q, x, -57947719);
        q = step(q, x, -143165572);
        q = step(q, x, -357913941);
    }

    function sin(int256 x) internal pure returns (int256 q) {
        q = 169873;
        q = step(q, x, -5026471);
        q = step(q, x, 85569259);
        q = step(q, x, -693598667);
        q = step(q, x, 1686629713);
    }

    function cos(int256 x) internal pure returns (int256 q) {
        q = 26746;
        q = step(q, x, -986980);
        q = step(q, x, 22401986);
        q = step(q, x, -272375560);
        q = step(q, x, 1324675879);
    }
}
