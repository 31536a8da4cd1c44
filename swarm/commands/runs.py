"""Why this module exists: ``swarm run`` is one peer in somebody's swarm, and the group of commands about runs."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from protocol.errors import ConfigError
from swarm.commands.options import (
    ConfigOption,
    DryRunOption,
    HomeOption,
    JoinOption,
    JsonOption,
    LogFormat,
    LogsOption,
    ModelOption,
    PasswordOption,
    PrivateOption,
    RoundsOption,
    RpcOption,
    SeedOption,
    TaskOption,
    WalletOption,
)

group = typer.Typer(name="run", add_completion=False)


@group.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    join: JoinOption = None,
    rpc: RpcOption = None,
    peer: Annotated[str, typer.Option("--peer", help="Which of this home's peers to run.")] = "1",
    rounds: RoundsOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    logs: LogsOption = LogFormat.LINES,
    private: PrivateOption = False,
    kept: Annotated[bool, typer.Option("--kept", help="As part of `swarm up`.", hidden=True)] = False,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to wait for HOME/join.yaml.", hidden=True)] = 0.0,
    fresh_since: Annotated[float, typer.Option("--fresh-since", help="… written after this.", hidden=True)] = 0.0,
    since: Annotated[float, typer.Option("--since", help="Count --rounds from this time on.", hidden=True)] = math.inf,
    as_json: Annotated[bool, typer.Option("--json", help="An error as one JSON object, too.", hidden=True)] = False,
) -> None:
    """One peer in somebody's swarm; with a command: the runs of a chain."""
    if context.invoked_subcommand is not None:
        _refuse_options_of_the_peer(context)
        return
    from swarm import app as root

    profile = "local" if private else "join"
    chosen = root.settings(
        profile,
        config,
        peer=peer,
        home=home,
        run__model=model,
        wallet__password_file=password_file,
        network__port=0 if private else None,  # a fixed port is the host's; its peers on this machine take free ones
        observe__metrics_port=0 if private else None,
    )
    find = root.token_finder(chosen, join or [], rpc or [], wait_s=wait_s, fresh_since=fresh_since)
    lines, json_logs = not (private or kept), logs is LogFormat.JSON
    raise typer.Exit(
        root.run(chosen, find, name=peer, num_rounds=rounds, since=since, lines=lines, json_logs=json_logs)
    )


def up(
    join: JoinOption = None,
    rpc: RpcOption = None,
    peers: Annotated[int, typer.Option("--peers", min=1, max=64, help="How many: they are called 1, 2, …")] = 1,
    peer: Annotated[list[str] | None, typer.Option("--peer", help="These peers of the home instead.")] = None,
    rounds: RoundsOption = None,
    logs: LogsOption = LogFormat.LINES,
    home: HomeOption = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
) -> None:
    """Several peers in somebody's swarm, kept running: restarted when they die or stall."""
    from swarm import app as root

    names = peer or [str(number) for number in range(1, peers + 1)]
    chosen = root.settings("join", config, home=home, run__model=model, wallet__password_file=password_file)
    root.token_finder(chosen, join or [], rpc or [])  # what is wrong with the token is said once, and now
    given = {"--model": model, "--config": config, "--password-file": password_file}
    options = [text for name, value in given.items() if value is not None for text in (name, str(value))]
    options += [
        text for name, values in (("--join", join), ("--rpc", rpc)) for one in values or () for text in (name, one)
    ]
    raise typer.Exit(root.up(chosen, names=names, num_rounds=rounds, options=options, json_logs=logs is LogFormat.JSON))


@group.command()
def create(
    name: Annotated[str | None, typer.Option("--name", help="What people call the run.")] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="Tokens put into escrow to pay for it.")] = None,
    emission: Annotated[str | None, typer.Option("--emission", help="Most tokens that one result may credit.")] = None,
    model: ModelOption = None,
    task: TaskOption = None,
    seed: SeedOption = None,
    min_peers: Annotated[int | None, typer.Option("--min-peers", min=1, help="Round 1 waits for so many.")] = None,
    wallet: WalletOption = None,
    rpc: RpcOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a run on the chain and put its budget into escrow."""
    from swarm import app as root

    chosen = root.settings(
        "join",
        config,
        home=home,
        run__name=name,
        run__model=model,
        run__task=task,
        run__seed=seed,
        run__min_peers=min_peers,
        chain__rpc=rpc or None,
        wallet__password_file=password_file,
        **root.in_micro({"economics.budget_micro": budget, "economics.round_emission_micro": emission}),
    )
    raise typer.Exit(root.create_run(chosen, wallet, dry_run=dry_run, as_json=as_json))


@group.command(name="list")
def list_(
    rpc: RpcOption = None, home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """The runs of the chain, newest first."""
    from swarm import app as root

    raise typer.Exit(root.list_runs(root.settings("join", config, home=home, chain__rpc=rpc or None), as_json=as_json))


@group.command()
def show(
    which: Annotated[str, typer.Argument(metavar="RUN", help="A run's id (or its beginning), number or name.")],
    rpc: RpcOption = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """A run: model, task, rules, contracts, budget and what it has paid."""
    from swarm import app as root

    chosen = root.settings("join", config, home=home, chain__rpc=rpc or None)
    raise typer.Exit(root.show_run(chosen, which, as_json=as_json))


def _refuse_options_of_the_peer(context: typer.Context) -> None:
    """What stands before the sub-command belongs to the peer, and would be passed over in silence."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        command = context.invoked_subcommand
        raise ConfigError(
            f"Options before `{command}` are those of a peer: --{given[0].removeprefix('as_').replace('_', '-')}.",
            "Nothing was started.",
            f"Put them behind it: `swarm run {command} …`; see `swarm run {command} --help`.",
        )
