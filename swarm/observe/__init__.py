"""What happened, for whoever wants to look: the log a peer writes, and everything that is read from it.

    eventlog   append-only JSONL: one writer, any number of readers
    schema     the tables of the read-model      fold    what each event means for them
    store      one log's read-model in SQLite    stores  all of a home's
    views      plain values for commands, screens and pages
    queries    status, rounds, peers, credits    summary the object at the end of `swarm local --json`
    snapshot   one peer at a glance              known   everybody that it knows
    custody    each contribution's way           rollouts  questions and what was said
    wallet     money and transactions            disputes  games before the contract
    spoken     the newest events in words        rewind  logs as recordings, to any moment
    lines      one event as one line             tables  the read commands, for people
    console    prints events and progress without a dashboard
    text       untrusted text made safe to print; names, amounts, durations

Imports no torch, hivemind or web3; a reader never talks to a node.
"""
