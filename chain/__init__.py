"""Where a run's truth is kept: who plays, which round it is, what each round came to, who was paid.

base        the ``Chain`` protocol: six verbs, intents that can be repeated
web3_chain  the adapter for EVM chains (with rpc, sender, abi, refusals under it)
fake        the same rules in memory, shipped for tests and simulations
typed_data  EIP-712 digests: what is signed, the same in Python and in Solidity
keys        peer ids, public keys, accounts and signatures, translated into each other
devchain    a local EVM chain that survives kill -9; install gets its program
gate        the door of that chain: reads, signed transactions, a capped faucet
deploy      a run's contracts, created once
contracts/  the Solidity sources; artifacts/ what they compile to (build, --check)
"""
