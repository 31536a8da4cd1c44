"""A live dashboard in the terminal. Reads event logs through ``swarm.observe``; knows nothing of nodes or chains.

app       SwarmDashboard: keys, themes, which peer is shown
feed      a thread that tails the logs and posts messages
screens/  one module per screen
widgets/  one module per panel
theme     the two palettes; theme.tcss: the layout
"""
