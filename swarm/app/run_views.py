"""Why this module exists: runs as people and programs read them, from the chain and from what this home knows."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from chain.base import EpochsView
from protocol.errors import ChainError, ConfigError
from protocol.run import JoinToken, RunSpec
from swarm.app import chain_access, factory
from swarm.app.acting import when
from swarm.app.amounts import in_tokens, tokens_text
from swarm.app.deploying import NOBODY
from swarm.app.foundation import RunView
from swarm.app.printing import printed
from swarm.observe.tables import FittingTable
from swarm.observe.text import plain, short_id
from swarm.settings.config import Settings
from swarm.settings.home import Home
from swarm.settings.joining import read_join_file

SHORTEST_PREFIX = 4


async def listed(chosen: Settings, *, as_json: bool) -> list[dict[str, Any]]:
    """All runs of the chain, newest first; printed as a table unless JSON is wanted."""
    foundation = await factory.open_foundation(chosen, NOBODY)
    try:
        views = tuple(reversed(await foundation.runs()))
    finally:
        await foundation.close()
    if not as_json:
        printed(runs_table(views) if views else Text("No run was created on this chain yet. See `swarm run create`."))
    return [run_body(view) for view in views]


async def shown(chosen: Settings, which: str, *, as_json: bool) -> dict[str, Any]:
    """One run with what it has paid; printed unless JSON is wanted. Raises ``ConfigError`` when none or several fit."""
    foundation = await factory.open_foundation(chosen, NOBODY)
    try:
        view = chosen_run(await foundation.runs(), which)
        chain_id = foundation.contracts.chain_id
    finally:
        await foundation.close()
    spec = known_spec(chosen, view)
    body = run_body(view, spec)
    run = chain_access.contracts_on(chain_id, view.contracts)
    try:
        chain = await chain_access.open_run(chosen, run, NOBODY)
        try:
            clock, epochs = await chain.clock(), await chain.epochs()
        finally:
            await chain.close()
        body |= {
            "round": clock.round,
            "members": len(clock.members),
            "settled_round": clock.settled_round,
            "ends_at": epochs.ends_at or None,
        } | _paid(epochs)
    except ChainError as error:
        body |= {"round": None, "why": error.what}
    if not as_json:
        printed(run_page(body))
    return body


def chosen_run(views: tuple[RunView, ...], which: str) -> RunView:
    """The run that ``which`` means: a number, a name, an id or the beginning of one. Raises ``ConfigError``."""
    text = which.strip()
    wanted = text.lower().removeprefix("0x")
    exact = [view for view in views if str(view.number) == text or view.name == text or view.run_id == wanted]
    found = exact or [view for view in views if len(wanted) >= SHORTEST_PREFIX and view.run_id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(
            f"There is no run {which[:70]!r} on this chain.", "Nothing was changed.", "See `swarm run list`."
        )
    several = ", ".join(f"{view.number} ({view.run_id[:12]})" for view in found[:8])
    raise ConfigError(
        f"{which[:70]!r} means several runs: {several}.", "Nothing was changed.", "Name one by its number."
    )


def known_spec(chosen: Settings, view: RunView) -> RunSpec | None:
    """All rules of a run, where this home has its join token; the chain knows them by hash only."""
    home = Home(chosen.home)
    for path in (home.host / "runs" / f"{view.run_id[:16]}.yaml", home.join_file):
        if path.exists():
            token: JoinToken = read_join_file(path)
            if token.run.id == view.run_id:
                return token.run
    return None


def run_body(view: RunView, spec: RunSpec | None = None) -> dict[str, Any]:
    """A run for ``--json``."""
    body = {
        "number": view.number,
        "run_id": view.run_id,
        "name": plain(view.name, 64),
        "creator": view.creator,
        "created_at": view.created_at,
        "model_hash": view.model_hash,
        "task_hash": view.task_hash,
        "contracts": msgspec.to_builtins(view.contracts),
        "rules": msgspec.to_builtins(view.rules),
        **in_tokens("budget", view.budget_micro),
        **in_tokens("emission_cap", view.rules.round_emission_micro),
    }
    if spec is not None:
        body |= {"task": spec.task.name, "scorer_version": spec.task.version, "spec": msgspec.to_builtins(spec)}
    return body


def runs_table(views: tuple[RunView, ...]) -> RenderableType:
    """Runs, one a line."""
    table = FittingTable(
        ">#", "run", "name", ">budget", ">per round", ">stake", "model", "creator", "created",
        spare=("created", "creator", "model", "stake", "per round"),
    )  # fmt: skip
    for view in views:
        rules = view.rules
        table.add_row(
            Text(str(view.number)),
            Text(view.run_id[:16], "bold"),
            Text(plain(view.name, 64)),
            Text(tokens_text(view.budget_micro)),
            Text(tokens_text(rules.round_emission_micro)),
            Text(tokens_text(rules.min_stake_micro)),
            Text(view.model_hash[:12]),
            Text(short_id(view.creator)),
            Text(when(view.created_at)),
        )
    return table


def run_page(body: dict[str, Any]) -> RenderableType:
    """One run, a fact a line."""
    rules = body["rules"]
    scorer = f"{body['task']}, scorer {body['scorer_version']}" if "task" in body else "known by its hash only"
    lines = [
        ("run", f"{body['name']} ({body['run_id']}), number {body['number']}"),
        ("created", f"{when(body['created_at'])} by {body['creator']}"),
        ("model", body["model_hash"]),
        ("task", f"{body['task_hash']} ({scorer})"),
        ("budget", f"{tokens_text(body['budget_micro'])} tokens in escrow, at most "
                   f"{tokens_text(body['emission_cap_micro'])} for a round"),
        ("members", f"stake from {tokens_text(rules['min_stake_micro'])} tokens, which stays liable for "
                    f"{rules['unbonding_s']} s after it leaves; the first round waits for {rules['start_members']}"),
        ("rounds", f"{rules['round_s']} s at most, signed by {rules['quorum_size']} drawn members"),
        ("payouts", f"every {rules['epoch_rounds']} rounds; {rules['challenge_s']} s to challenge (bond "
                    f"{tokens_text(rules['bond_micro'])} tokens), {rules['dispute_s']} s locked after that"),
        *((name, address) for name, address in body["contracts"].items()),
    ]  # fmt: skip
    if body.get("round") is None:
        lines.append(("now", f"the run's contracts do not answer: {plain(body.get('why', ''), 200)}"))
    else:
        lines.append(
            ("now", f"round {body['round']} with {body['members']} members; recorded up to round "
                    f"{body['settled_round']}, paid out {tokens_text(body['paid_out_micro'])} tokens")
        )  # fmt: skip
        if body["ends_at"]:
            lines.append(("ends", when(body["ends_at"]) + (" (over)" if body["ends_at"] <= time.time() else "")))
    return Group(*(Text.assemble((f"{name:<14}", "dim"), text) for name, text in lines))


def _paid(epochs: EpochsView) -> dict[str, Any]:
    """What was put into payouts so far, and what of it can be claimed."""
    newest, claimable = epochs.newest, epochs.claimable
    live = newest if newest is not None and newest.state.value != "void" else claimable
    return in_tokens("paid_out", live.total_micro if live is not None else 0) | in_tokens(
        "unlocked", claimable.total_micro if claimable is not None else 0
    )
