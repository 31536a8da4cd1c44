// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// @title Binary trees that know positions
/// @notice Node i of a level is keccak256(node 2i, node 2i + 1 of the level below); a missing right node is 32 zero bytes. A
/// tree of n leaves has ceil(log2 n) levels above them. `verde/program/tree.py` builds them.
library PositionTree {
    /// @notice Levels above `numLeaves` leaves.
    function depthOf(uint256 numLeaves) internal pure returns (uint256 depth) {
        while (depth < 256 && (uint256(1) << depth) < numLeaves) ++depth;
    }

    /// @notice How many nodes a level has; level 0 has the leaves.
    function widthOf(uint256 numLeaves, uint256 level) internal pure returns (uint256) {
        return (numLeaves + (uint256(1) << level) - 1) >> level;
    }

    /// @notice The node `levels` above these; those that are left out at the end are missing. Overwrites the list.
    function topOf(bytes32[] memory nodes, uint256 levels) internal pure returns (bytes32) {
        uint256 count = nodes.length;
        for (; levels > 0; --levels) {
            count = _climb(nodes, count, 0, 0, 0);
        }
        return nodes[0];
    }

    /// @notice The node `depth` levels above leaf `first` of a tree of `numLeaves`. `isFit` is false for a leaf that is not
    /// there, and for siblings too few or too many.
    function rootOf(uint256 numLeaves, uint256 first, bytes32 leaf, bytes32[] calldata proof, uint256 depth)
        internal
        pure
        returns (bool isFit, bytes32 root)
    {
        bytes32[] memory leaves = new bytes32[](1);
        leaves[0] = leaf;
        return rootOf(numLeaves, first, leaves, proof, depth);
    }

    /// @notice The same of leaves side by side, from `first` on. Overwrites their list.
    function rootOf(uint256 numLeaves, uint256 first, bytes32[] memory nodes, bytes32[] calldata proof, uint256 depth)
        internal
        pure
        returns (bool isFit, bytes32 root)
    {
        uint256 count = nodes.length;
        if (count == 0 || first >= numLeaves || count > numLeaves - first) return (false, 0);
        uint256 used;
        for (; depth > 0; --depth) {
            uint256 shift = first & 1;
            bytes32 left;
            bytes32 right;
            if (shift == 1) {
                if (used == proof.length) return (false, 0);
                left = proof[used++];
            }
            if ((shift + count) & 1 == 1 && first + count < numLeaves) {
                if (used == proof.length) return (false, 0);
                right = proof[used++];
            }
            count = _climb(nodes, count, shift, left, right);
            first >>= 1;
            numLeaves = (numLeaves + 1) >> 1;
        }
        return (used == proof.length, nodes[0]);
    }

    /// @dev The parents of `left` (where `shift` is 1), the first `count` nodes, and `right` (where that makes pairs).
    function _climb(bytes32[] memory nodes, uint256 count, uint256 shift, bytes32 left, bytes32 right)
        private
        pure
        returns (uint256 parents)
    {
        assembly ("memory-safe") {
            parents := shr(1, add(add(count, shift), 1))
            let to := add(nodes, 32)
            let from := sub(to, shl(5, shift))
            let end := add(to, shl(5, count))
            for { let i := 0 } lt(i, parents) { i := add(i, 1) } {
                switch and(iszero(i), shift)
                case 1 { mstore(0, left) }
                default { mstore(0, mload(from)) }
                switch lt(add(from, 32), end)
                case 1 { mstore(32, mload(add(from, 32))) }
                default { mstore(32, right) }
                mstore(to, keccak256(0, 64))
                to := add(to, 32)
                from := add(from, 64)
            }
        }
    }
}
