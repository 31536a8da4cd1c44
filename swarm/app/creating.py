"""Why this module exists: who wants training pays for it: a run is created with its budget in escrow, once.

The run's id is the hash of all its rules, so the same settings and the same wallet make the same run: a command that is
repeated, or was killed, finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chain.base import Cost
from chain.rules import Rules
from chain.run_deploy import Founding
from protocol.codec import content_id_of
from protocol.errors import ChainError, ConfigError
from protocol.event import Event
from protocol.ids import Address
from protocol.run import JoinToken, RunSpec, format_token
from swarm.app import factory, unlocking
from swarm.app.acting import Terminal, price_line
from swarm.app.amounts import WEI_PER_MICRO, in_tokens, tokens_text, wei_text
from swarm.app.chain_access import NOTHING_SIGNED
from swarm.app.deploying import NOBODY, paying_address, require_chain_id
from swarm.app.foundation import Foundation, RunView
from swarm.app.pacing import told
from swarm.app.run_views import run_body
from swarm.app.specs import rules_on_chain, run_spec
from swarm.settings.config import Settings
from swarm.settings.home import Home
from swarm.settings.joining import read_join_file, write_join_file
from swarm.settings.public import public_endpoints


async def create(
    chosen: Settings, wallet_file: Path, password: str | None, *, dry_run: bool, as_json: bool
) -> dict[str, Any]:
    """Create the run of these settings, or find it. Writes a join token without bootnodes to HOME/host/runs.

    Raises ``ConfigError`` for settings that make no run, ``ChainError`` when the wallet is short of tokens.
    """
    terminal = Terminal(as_json=as_json)
    chain_id = require_chain_id(chosen)
    await (await factory.open_foundation(chosen, NOBODY)).close()  # the right chain, before a wallet is made or opened
    spec = await asyncio.to_thread(run_spec, chosen, chain_id, _noting(terminal))
    address = paying_address(chosen, wallet_file, password, dry_run=dry_run, terminal=terminal)
    new = founding_of(spec, chosen.run.min_peers)
    steps: list[dict[str, Any]] = []
    looking = await factory.open_foundation(chosen, address)
    try:
        view = await looking.run(address, spec.id)
        if view is None:
            await _require_tokens(looking, address, new)
            steps = await _priced(looking, address, new, chain_id, terminal, dry_run=dry_run)
    finally:
        await looking.close()
    is_new = view is None
    if view is None and not dry_run:
        wallet = unlocking.unlock(wallet_file, password=password, password_file=chosen.wallet.password_file)
        acting = await factory.open_foundation(chosen, wallet)
        try:
            view = await _send(acting, address, new, Home(chosen.home).host / f"deployment-{spec.id[:16]}.json", steps)
        finally:
            await acting.close()
    body = {"dry_run": dry_run, "created": is_new and not dry_run, "steps": steps, "run_id": spec.id}
    if view is None:
        return body | in_tokens("budget", new.budget_micro)
    _require_same_rules(view, new)
    token = token_of(chosen, spec, view, looking)
    notes = _keep(chosen, token)
    if is_new:
        terminal.answer(f"Run {spec.name!r} ({spec.id[:16]}) holds {tokens_text(view.budget_micro)} tokens in escrow.")
    else:
        terminal.answer(f"Run {spec.name!r} ({spec.id[:16]}) is there already.")
    for note in notes:
        terminal.note(note)
    return body | run_body(view, spec) | {"token": format_token(token)}


def _noting(terminal: Terminal) -> Callable[[Event], None]:
    def note(event: Event) -> None:
        text = told(event)
        if text is not None:
            terminal.note(text)

    return note


def founding_of(spec: RunSpec, start_members: int) -> Founding:
    """What the factory is given for a run."""
    return Founding(
        run=spec.id,
        model=spec.model,
        task=content_id_of(spec.task),
        name=spec.name,
        rules=rules_on_chain(spec, start_members),
        budget_micro=spec.economics.budget_micro,
    )


def token_of(chosen: Settings, spec: RunSpec, view: RunView, foundation: Foundation) -> JoinToken:
    """The run's join token, without bootnodes: enough to register, stake and claim."""
    return JoinToken(
        run=spec,
        contracts=view.contracts,
        bootnodes=(),
        rpc=public_endpoints(chosen.chain),
        model_name=chosen.run.model,
    )


def run_file(home: Path, spec: RunSpec) -> Path:
    """Where this home keeps the join token of a run that it created."""
    return Home(home).host / "runs" / f"{spec.id[:16]}.yaml"


async def _require_tokens(foundation: Foundation, address: Address, new: Founding) -> None:
    held = await foundation.token_wei(address)
    if held < new.budget_micro * WEI_PER_MICRO:
        raise ChainError(
            f"The wallet {address} holds {wei_text(held)} tokens; the run's budget is {tokens_text(new.budget_micro)}.",
            NOTHING_SIGNED,
            f"Send tokens (contract {foundation.contracts.token}) to the wallet, or give a smaller --budget.",
            reason="ERC20InsufficientBalance",
        )


async def _priced(
    foundation: Foundation, address: Address, new: Founding, chain_id: int, terminal: Terminal, *, dry_run: bool
) -> list[dict[str, Any]]:
    show = terminal.answer if dry_run else terminal.note
    steps = []

    def step(what: str, cost: Cost) -> None:
        show(price_line(what, cost, address, chain_id))
        steps.append({"what": what, "gas": cost.gas, "fee": cost.fee_wei / 10**18, "fee_wei": str(cost.fee_wei)})

    if await foundation.allowance_wei(address) < new.budget_micro * WEI_PER_MICRO:
        cost = await foundation.estimate_approval(new.budget_micro)
        step(f"let the factory take {tokens_text(new.budget_micro)} tokens", cost)
    step("create the run", await foundation.estimate_creation(new))
    return steps


async def _send(
    foundation: Foundation, address: Address, new: Founding, file: Path, steps: list[dict[str, Any]]
) -> RunView:
    done = await foundation.create(new, file)
    steps[-1] |= {"transaction": done.transaction, "gas_used": done.gas, "block": done.block}
    view = await foundation.run(address, new.run)
    if view is None:
        raise ChainError(
            "The run was mined, but the factory does not show it.",
            "Nothing can be played yet.",
            "The endpoint may lag behind its chain; run the command again.",
        )
    return view


def _require_same_rules(view: RunView, new: Founding) -> None:
    """A run keeps what it was created with; only how many peers it waits for may be asked for differently."""
    if _ruled(view.rules) != _ruled(new.rules) or view.budget_micro != new.budget_micro:
        raise ConfigError(
            f"Run {view.run_id[:16]} was created with other rules or another budget than these settings.",
            "The contracts keep those that they were made with.",
            "Restore the settings, or choose another --seed to create another run.",
        )


def _ruled(rules: Rules) -> tuple[Any, ...]:
    return tuple(getattr(rules, name) for name in rules.__struct_fields__ if name != "start_members")


def _keep(chosen: Settings, token: JoinToken) -> list[str]:
    home = Home(chosen.home)
    file = run_file(chosen.home, token.run)
    write_join_file(file, token)
    notes = [f"Its join token, without bootnodes, is in {file}. Next: `swarm host` with the same --config."]
    if not home.join_file.exists():
        write_join_file(home.join_file, token)
    elif read_join_file(home.join_file).run.id != token.run.id:
        notes.append(f"{home.join_file} is of another run and was left alone: use --join for this one.")
    return notes
