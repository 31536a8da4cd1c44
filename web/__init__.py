"""The leaderboard: a page and an API over what an indexer read, checked and wrote into a database.

    schema    the tables            store    where the indexer puts its rows      fold    what they add up to
    queries   what pages ask        views    the values that pages and API share  text    hostile text made harmless
    app       the web application   pages    HTML    api    JSON and CSV          live    server-sent events
    serve     the server process    glossary what every word on the page means

Imports no torch, hivemind, web3 and nothing of the peer: what it knows is in the database.
"""
