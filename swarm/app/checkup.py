"""Why this module exists: the doctor's probes are put together here, and its findings become lines, JSON, a code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence

import msgspec

from protocol.errors import ConfigError, SwarmError
from protocol.run import JoinToken
from swarm.app.finding import Find, token_finder
from swarm.app.orders import PASSWORD_VARIABLE, require_peer_name
from swarm.doctor.examination import examination
from swarm.doctor.facts import Batch
from swarm.doctor.findings import Finding, Level, fail, in_words, is_fit, ok
from swarm.game.prompts import longest_sequence
from swarm.observe.text import plain
from swarm.settings.config import Settings
from swarm.settings.home import Home
from swarm.settings.model_choice import AUTO

FOLLOWING = frozenset({"tiny", AUTO})
"""Names of ``run.model`` with which a peer that joins takes the model that its token names."""

QUICK = {"dials": False, "computes": False}
"""The short form: no bootnode is dialled, and the arithmetic is left out."""


def doctor(
    chosen: Settings,
    join: Sequence[str],
    rpc: Sequence[str],
    name: str,
    *,
    quick: bool,
    numerics: bool,
    as_json: bool,
) -> int:
    """Examine this machine for the peer ``name``; returns 0 when it is fit, else 2.

    ``quick``: the short form; ``numerics``: with the arithmetic.
    """
    from swarm.processes.process import run_until_signal

    require_peer_name(name)
    return run_until_signal(lambda: _doctor(chosen, join, rpc, name, quick, numerics, as_json))


async def _doctor(
    chosen: Settings, join: Sequence[str], rpc: Sequence[str], name: str, quick: bool, numerics: bool, as_json: bool
) -> int:
    from swarm.processes.guardian import start_guardian

    with start_guardian():
        findings = await examine(chosen, join, rpc, name, dials=not quick, computes=numerics and not quick)
    if as_json:
        body = {"fit": is_fit(findings), "findings": msgspec.to_builtins(findings)}
        print(json.dumps({"doctor": body}), flush=True)
    else:
        for line in in_words(findings):
            print(line)
    return 0 if is_fit(findings) else ConfigError.exit_code


async def examine(
    chosen: Settings, join: Sequence[str], rpc: Sequence[str], name: str, *, dials: bool, computes: bool
) -> list[Finding]:
    """The findings. A swarm that cannot be found is one of them, unless none was named."""
    try:
        return await examine_for(chosen, token_finder(chosen, join, rpc), name, dials=dials, computes=computes)
    except SwarmError as error:
        why = f"{error.what} {error.next_step}"
        found = await examine_for(chosen, None, name, dials=dials, computes=computes, no_token=why)
        if join:
            found.append(fail("join token", error.what, error.next_step))
        return found


async def examine_for(
    chosen: Settings, find: Find | None, name: str, *, dials: bool, computes: bool, no_token: str = ""
) -> list[Finding]:
    """The findings for one peer of the home in the swarm that ``find`` finds. Raises what ``find`` raises.

    ``dials``: bootnodes, by a daemon of its own; ``computes``: half a minute of arithmetic."""
    from swarm.app.addresses import announced_addresses
    from swarm.app.chain_access import contracts_of, fees_of, open_chain
    from swarm.doctor.look_chain import RealChain
    from swarm.doctor.look_identity import RealIdentity
    from swarm.doctor.look_machine import RealMachine

    token = await find() if find is not None else None
    home = Home(chosen.home).peer(name)
    identity = RealIdentity(home, password=os.environ.get(PASSWORD_VARIABLE), password_file=chosen.wallet.password_file)
    network = None
    if dials:
        from identity.envelope import verify
        from swarm.doctor.look_network import RealNetwork

        is_running = (await asyncio.to_thread(identity.look)).running_pid is not None
        port = 0 if is_running else chosen.network.port
        network = RealNetwork(
            host=chosen.network.host,
            port=port,
            announce=announced_addresses(chosen, port) if port else (),
            start_s=chosen.network.start_timeout_s,
            verify=lambda one: lambda envelope: verify(envelope, contracts_of(one)),
        )
    return await examination(
        RealMachine(home.root.parent.parent, chosen.engine.device, model_of(chosen, token)),
        identity,
        network,
        RealChain(
            chosen.chain.rpc, lambda one, account: open_chain(chosen, one, account, num_attempts=1), fees_of(chosen)
        ),
        token,
        batch_of(chosen, token),
        no_token=no_token,
        numerics=_numerics if computes else None,
    )


def model_of(chosen: Settings, token: JoinToken | None) -> str:
    """Directory or hub name of the model that a start would load."""
    if token is None or chosen.run.model not in FOLLOWING or not token.model_name:
        return chosen.model_location()
    run = chosen.run.model_copy(update={"model": token.model_name})
    return chosen.model_copy(update={"run": run}).model_location()


def batch_of(chosen: Settings, token: JoinToken | None) -> Batch:
    """What a round asks of the memory, by the run's rules, or those of the settings where no run is named."""
    audit = token.run.audit if token is not None else chosen.audit
    game = token.run.game if token is not None else chosen.game
    own = audit.engine if chosen.engine.kind == "run" else chosen.engine.kind
    return Batch(
        sequence=longest_sequence(game.answer_tokens, game.critique_tokens, game.decide_tokens),
        completion=max(game.answer_tokens, game.critique_tokens, game.decide_tokens),
        prompts=game.num_questions,
        engine=audit.engine,
        num_holders=audit.num_holders,
        lora_rank=token.run.learn.lora_rank if token is not None else _rank_of(chosen),
        processes=chosen.trl.processes if own == "trl" else 1,
    )


def _rank_of(chosen: Settings) -> int | None:
    rank = chosen.learn.lora_rank
    return None if rank == "auto" else rank


async def warn_before_joining(chosen: Settings, find: Find, name: str) -> None:
    """The short form, before a foreign swarm is joined: what is wrong goes to stderr. Stops nothing: what cannot work
    is told by the start itself, in its own words."""
    try:
        findings = await examine_for(chosen, find, name, **QUICK)
    except SwarmError:
        return
    for finding in findings:
        if finding.level in (Level.WARN, Level.FAIL):
            said = plain(f"{finding.name}: {finding.what} {finding.fix}", 800)
            print(f"{finding.level.value}: {said}", file=sys.stderr, flush=True)


async def _numerics() -> Finding:
    from swarm.app.doctor import examine as examine_arithmetic
    from swarm.app.doctor import in_words as arithmetic_in_words

    print("Examining the arithmetic; that takes half a minute on two free cores.", file=sys.stderr, flush=True)
    found = await asyncio.to_thread(examine_arithmetic)
    last = arithmetic_in_words(found)[-1]
    if found["ok"]:
        return ok("numerics", last, took_ms=found["time_s"] * 1000)
    return fail("numerics", last, "See `swarm doctor --numerics`; use another machine until it is understood.")
