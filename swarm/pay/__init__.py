"""From work to tokens: what it earned, the ledger behind the chain's root, epochs, payouts and claims."""
