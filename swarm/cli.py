"""Why this module exists: the command line is a contract. It parses, calls ``swarm.app``, maps errors to exit codes.

stdout is data, stderr is diagnostics. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, NoReturn

import typer

from protocol.errors import ConfigError
from swarm.commands import boards, chains, displays, disputes, identity, orders, runs
from swarm.commands.health import doctor, export
from swarm.commands.options import (
    ConfigOption,
    HomeOption,
    JoinOption,
    JsonOption,
    LogFormat,
    LogsOption,
    ModelOption,
    PrivateOption,
    RoundsOption,
    RpcOption,
    SeedOption,
    TaskOption,
)

app = typer.Typer(name="swarm", add_completion=False, pretty_exceptions_enable=False)
UsageError: type[typer.BadParameter] = typer.BadParameter.__base__  # type: ignore[assignment]  # not exported itself


@app.callback(invoke_without_command=True)
def swarm(context: typer.Context) -> None:
    """A peer in a swarm of small language models that teach each other."""
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit(ConfigError.exit_code)


@app.command()
def local(
    peers: Annotated[int, typer.Option("--peers", min=1, max=64, help="How many peers play.")] = 3,
    rounds: RoundsOption = None,
    no_tui: Annotated[bool, typer.Option("--no-tui", help="A line per event instead of the dashboard.")] = False,
    logs: LogsOption = LogFormat.LINES,
    home: HomeOption = None,
    model: ModelOption = None,
    task: TaskOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    leaderboard: Annotated[bool, typer.Option("--leaderboard/--no-leaderboard", help="Serve its web page.")] = True,
    as_json: JsonOption = False,
) -> None:
    """A private swarm on this machine: dev chain, bootnode, peers, dashboard, leaderboard."""
    from swarm import app as root

    founding = {"--model": model, "--task": task, "--seed": seed, "--config": config, "--min-peers": peers}
    chosen = root.settings("local", config, home=home, run__model=model, run__task=task, run__seed=seed)
    code = root.local(
        chosen,
        num_peers=peers,
        num_rounds=rounds,
        tui=not no_tui,
        as_json=as_json,
        json_logs=logs is LogFormat.JSON,
        host_options=["--private", "--json", *_options(founding)],
        peer_options=["--private", "--json", *_options({"--model": model, "--config": config})],
        leaderboard=leaderboard,
    )
    raise typer.Exit(code)


@app.command()
def host(
    home: HomeOption = None,
    model: ModelOption = None,
    task: TaskOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    listen: Annotated[str | None, typer.Option("--listen", help="Address to listen on, e.g. 0.0.0.0.")] = None,
    announce: Annotated[str | None, typer.Option("--announce", help="Public address for the token.")] = None,
    min_peers: Annotated[int | None, typer.Option("--min-peers", min=1, help="Round 1 waits for so many.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="A created run to host, on a configured chain.")] = None,
    logs: LogsOption = LogFormat.LINES,
    private: PrivateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bootnode, chain and gate for others; prints one join token."""
    from swarm import app as root

    chosen = root.settings(
        "local" if private else "join",
        config,
        home=home,
        run__model=model,
        run__task=task,
        run__seed=seed,
        run__min_peers=min_peers,
        network__host=listen,
        chain__gate_host=listen,
        network__announce=announce,
    )
    raise typer.Exit(root.host(chosen, which=run, as_json=as_json, json_logs=logs is LogFormat.JSON))


app.add_typer(runs.group)
app.add_typer(identity.group)
app.command()(runs.up)


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Who I am, what is going on, what is wrong."""
    from swarm import app as root

    root.show("status", home, as_json)


@app.command()
def rounds(
    count: Annotated[int, typer.Argument(min=1, help="How many of the latest rounds.")] = 10,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The latest rounds: outcome, scores, credits, and where the time went."""
    from swarm import app as root

    root.show("rounds", home, as_json, count=count)


@app.command()
def peers(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """The peers seen in this swarm."""
    from swarm import app as root

    root.show("peers", home, as_json)


@app.command()
def health(
    peer: Annotated[str | None, typer.Option("--peer", help="Only this peer of the home (default: all).")] = None,
    the_host: Annotated[bool, typer.Option("--host", help="The home's host instead: gate and bootnode.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Whether the peers of this home are well, for people and health checks."""
    from swarm import app as root

    raise typer.Exit(root.host_well(home, as_json=as_json) if the_host else root.well(home, peer, as_json=as_json))


@app.command()
def outbox(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """What is to be sent to the chain, and how that is going."""
    from swarm import app as root

    root.outbox(home, as_json)


app.command()(displays.top)
app.command()(displays.replay)
app.command()(orders.credits)
app.command()(orders.claim)
app.command()(orders.register)
app.command()(orders.stake)
app.command()(orders.unstake)
app.command()(orders.withdraw)
app.command()(chains.deploy)
app.command()(boards.leaderboard)
app.command(name="disputes")(disputes.disputes)
app.command(name="dispute")(disputes.dispute)


@app.command()
def verify(
    round_number: Annotated[int, typer.Argument(min=1, metavar="ROUND", help="A round of the running swarm.")],
    peer: Annotated[str, typer.Argument(help="Whose contribution: a nickname or a peer id.")],
    level: Annotated[int, typer.Option(min=0, max=2, help="0 scores, 1 rollouts, too, 2 the training step, too.")] = 2,
    join: JoinOption = None,
    rpc: RpcOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do a peer's work of a round again, and say whether it comes out the same."""
    from swarm import app as root

    chosen = root.settings("join", config, home=home, run__model=model, network__port=0)
    find = root.token_finder(chosen, join or [], rpc or [])
    raise typer.Exit(root.verify(chosen, find, round_number, peer, level=level, as_json=as_json))


app.command()(doctor)
app.command()(export)


def _options(given: Mapping[str, object]) -> list[str]:
    return [text for name, value in given.items() if value is not None for text in (name, str(value))]


def execute(arguments: Sequence[str]) -> int:
    """Run one ``swarm`` command; every failure is told in words, and with ``--json`` as the last line of stdout.

    Returns the exit code.
    """
    from swarm.failures import report

    try:
        return int(app(list(arguments), prog_name="swarm", standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return 128 + signal.SIGPIPE  # whoever reads the output has seen enough
    except Exception as error:
        return report(_usage_in_words(error), as_json="--json" in arguments)


def _usage_in_words(error: Exception) -> Exception:
    """What is wrong with the command line, as an error like any other."""
    if not isinstance(error, UsageError):
        return error
    command = error.ctx.command_path if error.ctx is not None else "swarm"
    return ConfigError(error.format_message().rstrip("."), "Nothing was started.", f"See `{command} --help`.")


def main() -> NoReturn:
    """Entry point of the ``swarm`` command. It ends at once, without waiting for threads."""
    from swarm.processes.process import leave

    leave(execute(sys.argv[1:]))


if __name__ == "__main__":
    main()
