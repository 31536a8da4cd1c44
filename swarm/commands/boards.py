"""Why this module exists: ``swarm leaderboard``: the table in the terminal, or as a page for everybody."""

from __future__ import annotations

from typing import Annotated

import typer

from swarm.commands.options import ConfigOption, HomeOption, JoinOption, JsonOption, PrivateOption, RpcOption


def leaderboard(
    serve: Annotated[bool, typer.Option("--serve", help="Serve the page, and read the swarm into its index.")] = False,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; 0: any free one (8844).")] = None,
    db: Annotated[str | None, typer.Option("--db", help="SQLite file or SQLAlchemy URL of the index.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=500, help="Peers shown in the terminal.")] = 20,
    reindex: Annotated[bool, typer.Option("--reindex", help="Build all totals anew from the index's facts.")] = False,
    index: Annotated[bool, typer.Option("--index", help="Only the indexer, without a page.")] = False,
    join: JoinOption = None,
    rpc: RpcOption = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    private: PrivateOption = False,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to wait for HOME/join.yaml.", hidden=True)] = 0.0,
    fresh_since: Annotated[float, typer.Option("--fresh-since", help="… written after this.", hidden=True)] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Who earned what, read from chain and swarm and computed again: a table here, or a page with --serve."""
    from swarm import app as root

    chosen = root.settings("local" if private else "join", config, home=home, network__port=0)
    if not (serve or index or reindex):
        from swarm.app import board

        raise typer.Exit(board.show(chosen, database=db, count=count, as_json=as_json))
    given = {"--db": db, "--config": config, "--home": chosen.home, "--wait": wait_s, "--fresh-since": fresh_since}
    options = [text for name, value in given.items() if value is not None for text in (name, str(value))]
    options += [
        text for name, values in (("--join", join), ("--rpc", rpc)) for one in values or () for text in (name, one)
    ]
    options += ["--reindex"] * reindex + ["--private"] * private + ["--json"]
    raise typer.Exit(
        root.leaderboard(
            chosen,
            root.token_finder(chosen, join or [], rpc or [], wait_s=wait_s, fresh_since=fresh_since),
            serve=serve,
            host=host,
            port=port,
            database=db,
            reindex=reindex,
            indexer_options=options,
            as_json=as_json,
        )
    )
