"""What is wrong with this machine, before it costs a round: facts are looked up, pure checks name fault and fix.

look_*.py    probes: machine, identity, network, chain; each returns plain facts and never raises
facts.py     those facts, and the protocols behind which the probes are replaced
checks_*.py  pure: facts in, findings out, one line each
sound.py     the shipped fake: probes of a machine where everything is well
"""
