"""One module per screen.

overview   everything about one peer at a glance
help       what every number means
"""
