"""A live dashboard in the terminal. Reads event logs through ``swarm.observe``; knows nothing of nodes or chains.

app       SwarmDashboard: keys, themes, which peer and which screen is shown
feed      a thread that reads the logs and posts what the present screen asks for
playing   the clock of a recording           palette   everything that can be done, by name
screens/  one module per screen              widgets/  one module per panel
theme     the palettes; theme.tcss: the layout
glyphs    plain signs for terminals without Unicode
outbox    what a display may know of what is to be sent
"""
