// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @notice Why the arithmetic of exact/1 has no number here.
enum Reason {
    NotFinite,
    Overflow,
    DivisionByZero,
    RootOfNegative,
    LogarithmOfNonPositive,
    IndexBeyondEnd
}

/// @notice exact/1 has no result for these inputs: whoever claims one is wrong, whatever it is.
error NotANumber(Reason reason);
/// @notice The inputs do not have the form that the kind of leaf asks for: the caller's mistake, no verdict.
error MalformedLeaf();
/// @notice No element of this kind can be computed: there is none, or it is opened and not computed.
error UnknownKind(uint256 kind);
