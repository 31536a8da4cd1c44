// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Numbers of the kinds of operators
/// @dev Written by `python -m verde.referee.constants`.
library Kinds {
    uint256 internal constant STATE = 1;
    uint256 internal constant STEP = 2;
    uint256 internal constant DATA = 3;
    uint256 internal constant CONST = 4;
    uint256 internal constant COPY = 8;
    uint256 internal constant PAD = 9;
    uint256 internal constant CONCAT = 10;
    uint256 internal constant GATHER = 11;
    uint256 internal constant SELECT = 12;
    uint256 internal constant ADD = 16;
    uint256 internal constant SUB = 17;
    uint256 internal constant MUL = 18;
    uint256 internal constant DIV = 19;
    uint256 internal constant NEG = 20;
    uint256 internal constant SQRT = 21;
    uint256 internal constant EXP = 22;
    uint256 internal constant LOG = 23;
    uint256 internal constant SIN = 24;
    uint256 internal constant COS = 25;
    uint256 internal constant TANH = 26;
    uint256 internal constant EXPM1 = 27;
    uint256 internal constant SIGMOID = 28;
    uint256 internal constant MINIMUM = 29;
    uint256 internal constant MAXIMUM = 30;
    uint256 internal constant TO_FLOAT = 31;
    uint256 internal constant LE = 32;
    uint256 internal constant LT = 33;
    uint256 internal constant EQ = 34;
    uint256 internal constant MASK = 35;
    uint256 internal constant GUMBEL = 36;
    uint256 internal constant POWER = 37;
    uint256 internal constant QUANTISE = 38;
    uint256 internal constant EXPONENT = 48;
    uint256 internal constant DOT = 49;
    uint256 internal constant SUM = 50;
    uint256 internal constant EXPONENT_WHERE = 51;
    uint256 internal constant SUM_WHERE = 52;
    uint256 internal constant MAX = 53;
    uint256 internal constant ARGMAX = 54;
}
