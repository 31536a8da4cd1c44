"""Who a peer is: one key file that libp2p, the chain and every record's signature agree on, and a wallet that is paid.

    keyfile       swarm.pem: create once, load, check; the peer id computed without a daemon
    delegation    an RSA identity names the account that signs for it
    signer        signs digests and seals records in the peer's name
    envelope      checks a sealed record: right run, round, owner, signature (pure)
    wallet        the EVM account that owns the registration and receives tokens (keystore v3)
    registration  binds the peer id to the wallet on the chain, once
    names         three friendly words for a peer id
    lock          one process per identity
    files         private files: created once, read with care

Secret keys never appear in ``repr``, logs or errors.
"""
