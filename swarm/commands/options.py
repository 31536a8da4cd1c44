"""Why this module exists: an option means the same, and is spelled the same, in every command that has it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LogFormat(StrEnum):
    """How a command tells on stderr what happens."""

    LINES = "lines"
    JSON = "json"


HomeOption = Annotated[Path | None, typer.Option("--home", help="Where this swarm keeps its files.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="A YAML file over the defaults.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Directory or hub name of a causal language model.")]
TaskOption = Annotated[str | None, typer.Option("--task", help="A task of configs/tasks, or a YAML file.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="The run's own salt: another seed, another run.")]
RoundsOption = Annotated[int | None, typer.Option("--rounds", min=1, help="Stop after this many rounds.")]
PasswordOption = Annotated[Path | None, typer.Option("--password-file", help="File with the wallet's password.")]
PrivateOption = Annotated[bool, typer.Option("--private", help="As part of `swarm local`.", hidden=True)]
JoinOption = Annotated[list[str] | None, typer.Option("--join", help="A join token, or multiaddresses of peers.")]
RpcOption = Annotated[list[str] | None, typer.Option("--rpc", help="RPC endpoint, instead of the join token's.")]
PeerOption = Annotated[str, typer.Option("--peer", help="Which of this home's peers.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show gas and fee; sign and send nothing.")]
WalletOption = Annotated[Path | None, typer.Option("--wallet", help="Keystore that pays, not HOME/host/wallet.json.")]
LogsOption = Annotated[LogFormat, typer.Option("--logs", help="What happens, on stderr: lines, or a JSON object each.")]
