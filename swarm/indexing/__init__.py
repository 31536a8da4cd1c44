"""What a swarm says in public, read as any stranger could, checked, and handed on as plain rows.

    rows         what a reader of the swarm learns, and ``Sink``, where it puts it
    chain_rows   events of the run's contracts -> rows           chain_source  where the events come from
    ledger_rows  two credit tables -> lines of the ledger        recompute     a round's result, computed again
    gathering    a round's records, blobs and scores             indexer       all of it, again and again

Imports no torch and no web: what shows the rows (``web``) knows ``rows`` alone, and what reads the swarm knows no
display. Nobody is believed: records by their signatures, blobs and tables by their hashes, scores and credits because
they were computed again.
"""
