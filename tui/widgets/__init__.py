"""One module per panel; each draws itself from the value that it is shown.

panel         what all panels share                      listing      lines that scroll, under a head
navigation    the screens and their keys                 deck         the controls of a recording
filter_line   what ``/`` opens
round_facts   a round: outcome, stages, result           way          a contribution's way, step by step
peer_table    a line per peer                            peer_card    one peer closer
thread        what was said about a question             money        gates, waits, outbox and transactions
quarrel       a line per dispute                         bisection    a dispute's search, as a funnel
peer_tabs     the local peers, and which one is shown
identity      who the shown peer is
round_panel   round, stage, time left
score_plot    scores over rounds and held-out accuracy
peers_panel   the peers it knows
question      the latest question: answers, critiques, decisions
credits       earned, settled, claimed; where the newest contribution stands
time_split    where the time of a round goes
problem       the last problem, in words
"""
