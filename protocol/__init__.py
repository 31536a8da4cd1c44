"""The shared vocabulary: ids, messages, canonical bytes, seeds, events, errors. Imports nothing else of ours.

ids       peers, contents, accounts, stages: parse and print
messages  what peers say to each other (frozen, versioned structs)
codec     one value, one byte string; SHA-256 content ids; size caps
merkle    trees that OpenZeppelin's MerkleProof checks
seeds     every seed is a hash of named things
events    what a peer tells its own dashboard
errors    the error tree and exit codes
"""
