"""Why this module exists: a founder with a slow model should not have to guess how long a stage must be.

Before a run is founded whose times are left open, a process of its own measures the model on this machine, with the
run's batches. What was chosen is written down under the rules that it was chosen for: rules are part of a run's id, so
the same command, given again, must find the same run and not measure another one.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from protocol.codec import content_id_of, encode
from protocol.errors import ConfigError
from protocol.event import Event
from protocol.events import Progress, TimesChosen
from protocol.run import RunSpec, TimeRules, least_unbonding_s
from swarm.failures import from_json
from swarm.observe.lines import words
from swarm.policy.pace import MARGIN, Need, Speed, asked, is_light, need
from swarm.settings.config import Settings
from swarm.settings.home import Home, write_atomically
from swarm.settings.times import is_open, times_of

Measure = Callable[[Settings, RunSpec], Speed]

LONGEST_TRIAL_S = 420
"""Peers of a private swarm wait for their host ten minutes."""

_NOTHING = "Nothing was started or founded; credits are not touched."
_SET_THEM = "Set time.stage_s, time.contribute_s and time.round_s yourself, or take a smaller model."
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times that were chosen once, and what they were chosen by."""

    times: TimeRules
    need: Need
    speed: Speed


def with_times(
    chosen: Settings, spec: RunSpec, num_params: int, say: Callable[[Event], object], measure: Measure
) -> RunSpec:
    """``spec``, which these settings found, with the times that they leave open, chosen now or earlier.
    ``num_params``: of the model.

    Raises ``ConfigError`` where the model cannot be measured here, or what it takes does not fit."""
    here = chosen.run.min_peers if chosen.network.host in _LOOPBACK else 1
    work = asked(spec.game, spec.learn.num_external, chosen.run.min_peers)
    if not is_open(chosen.time) or is_light(num_params, work):
        return spec
    file, key = Home(chosen.home).times_file, _key(chosen, spec)
    known = _read(file)
    if key not in known:
        say(Progress("measuring how fast the model is on this machine"))
        speed = measure(chosen, spec)
        needed = need(work, speed, crowding(here, chosen.engine.threads or 1))
        known[key] = Choice(times_of(chosen.time, needed), needed, speed)
        write_atomically(file, msgspec.json.format(msgspec.json.encode(known), indent=2), mode=0o600)
    choice = known[key]
    say(
        TimesChosen(
            stage_s=choice.times.stage_s,
            contribute_s=choice.times.contribute_s,
            round_s=choice.times.round_s,
            stage_takes_s=choice.need.stage_s,
            step_takes_s=choice.need.train_s,
            margin=MARGIN,
        )
    )
    return _with(spec, choice.times)


def _with(spec: RunSpec, times: TimeRules) -> RunSpec:
    """The rules with these times: where rounds are longer than ``unbonding_s`` was set for, stakes stay liable as long
    as a lie of such a round takes to be found."""
    least_s = least_unbonding_s(times, spec.audit, spec.economics)
    economics = msgspec.structs.replace(spec.economics, unbonding_s=max(spec.economics.unbonding_s, least_s))
    return msgspec.structs.replace(spec, time=times, economics=economics)


def told(event: Event) -> str | None:
    """What of ``with_times`` is said to whoever founds a run, as a sentence."""
    text = event.what if isinstance(event, Progress) else words(event)
    return f"{text[:1].upper()}{text[1:]}." if text else None


def crowding(num_peers: int, num_threads: int, num_cores: int | None = None) -> float:
    """How many times slower a peer is when so many share this machine than one alone."""
    cores = num_cores or os.cpu_count() or 1
    return max(1.0, num_peers * num_threads / cores)


def measured(chosen: Settings, spec: RunSpec) -> Speed:
    """The speed of the run's model here, from a process of its own, whose memory is given back when it ends."""
    chosen = chosen.model_copy(update={"engine": chosen.engine.model_copy(update={"kind": "run"})})
    order = {"settings": chosen.model_dump(mode="json"), "run": base64.b64encode(encode(spec)).decode()}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "swarm.app.trial"],
            input=msgspec.json.encode(order),
            stdout=subprocess.PIPE,
            timeout=LONGEST_TRIAL_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        what = f"The model is too slow here to be measured within {LONGEST_TRIAL_S} s."
        raise ConfigError(what, _NOTHING, _SET_THEM) from error
    last = done.stdout.decode(errors="replace").strip().rpartition("\n")[2]
    try:
        return msgspec.json.decode(last, type=Speed)
    except msgspec.MsgspecError:
        told = from_json(last)
        why = told.what if told is not None else f"the process ended with code {done.returncode}."
        raise ConfigError(f"The model could not be measured on this machine: {why}", _NOTHING, _SET_THEM) from None


def _key(chosen: Settings, spec: RunSpec) -> str:
    """Names what the times were chosen for: all other rules, and the times that were set."""
    return content_id_of((spec, chosen.time.model_dump_json()))


def _read(file: Path) -> dict[str, Choice]:
    """Raises ``ConfigError`` for a damaged file: whoever measured again would found another run."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Choice])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error}.",
            "It holds the times of runs that were founded here; without them another run would be founded.",
            "Restore it; or set the times yourself: `swarm run show` tells those of a run that exists.",
        ) from error
