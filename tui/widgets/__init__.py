"""One module per panel; each draws itself from a snapshot.

panel         what all panels share
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
