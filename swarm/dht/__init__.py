"""The swarm's network: small signed records in a DHT, large blobs over streams.

transport   the protocol that everything above speaks
records     what a valid record is, and where it belongs (pure)
book        which valid record counts; bounds on everything (pure but for its injected clock)
overlay     hivemind's DHT, made safe to run among strangers
daemon      p2pd: starts, or says why not
joining     reaching bootnodes step by step
taken       is another peer using this identity?
libp2p      the real transport, made of the above
memory      the same rules without a network, with faults to order
"""
