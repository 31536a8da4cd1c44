"""What happened, for whoever wants to look: the log a peer writes, and everything that is read from it.

    eventlog   append-only JSONL: one writer, any number of readers
    schema     the tables of the read-model      fold    what each event means for them
    store      one log's read-model in SQLite    stores  all of a home's
    views      plain values for commands, screens and pages
    queries    status, rounds, peers, credits    summary the object at the end of `swarm local --json`
    snapshot   everything a dashboard shows of one peer
    lines      one event as one line             tables  the read commands, for people
    console    prints events and progress without a dashboard
    text       untrusted text made safe to print; names, amounts, durations

Imports no torch, hivemind or web3; a reader never talks to a node.
"""
