// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @dev What forge asks an invariant test for: the one contract whose actions it may call in any order, and which of them. An
/// action named several times is called so much more often.
abstract contract Targets {
    address internal _target;
    bytes4[] internal _actions;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = _target;
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(_target, _actions);
    }
}
