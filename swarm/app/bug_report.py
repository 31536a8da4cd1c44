"""Why this module exists: whoever helps needs to see what happened, and must not get a key by it.

A report holds versions, settings, the last events, the outbox, who the peers are, and what the doctor found. Every
secret of the home is looked up, taken out of all texts wherever it turned up, and looked for once more at the end.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import yaml

from identity.keyfile import load_key
from identity.signing_keys import load_signing_keys
from identity.wallet import open_wallet
from protocol.errors import ConfigError, SwarmError
from protocol.run import JoinToken
from swarm.app.identity_care import identity_of
from swarm.settings.config import Settings
from swarm.settings.home import Home, PeerHome
from swarm.settings.joining import read_join_file
from swarm.settings.redaction import forms_of, redacted, secrets_in_url
from swarm.settings.resolved import without_secrets

LAST_EVENTS = 500
_TAIL_BYTES = 2 * 1024 * 1024


def export(chosen: Settings, to: Path, *, is_redacted: bool, as_json: bool) -> int:
    """Write the report to ``to``: a folder, or a file where the name ends in ``.zip``. Nothing is ever overwritten.

    Raises ``ConfigError`` when it cannot be written, ``SwarmError`` when a secret would be in it.
    """
    if not is_redacted:
        raise ConfigError("A report is only made without secrets.", "Nothing was written.", "Add --redacted.")
    if to.exists():
        raise ConfigError(f"{to} exists already.", "Nothing was written.", "Name another place.")
    hidden = all_secrets(chosen)
    files = {name: clean(text, chosen, hidden) for name, text in contents(chosen)}
    for name, text in files.items():
        if any(secret in text for secret in hidden):
            raise SwarmError(
                f"A secret would be in {name} of the report.", "Nothing was written.", "Report this defect."
            )
    _write(to, files)
    if as_json:
        print(json.dumps({"export": {"to": str(to), "files": sorted(files)}}), flush=True)
    else:
        print(f"Wrote {len(files)} files to {to}. Look through them before you send them to somebody.")
    return 0


def contents(chosen: Settings) -> Iterator[tuple[str, str]]:
    """File names and texts, not cleaned yet."""
    home = Home(chosen.home)
    yield "versions.json", _pretty(_versions())
    yield "settings.yaml", yaml.safe_dump(without_secrets(chosen), sort_keys=False)
    yield "doctor.json", _pretty(_doctor(chosen))
    token = _token(home)
    if token is not None:
        yield "swarm.json", _pretty(_swarm(token))
    for folder in sorted(path.parent for path in home.peers.glob("*/swarm.pem")):
        peer = PeerHome(folder)
        yield f"peers/{peer.name}/identity.json", _pretty(_tried(lambda peer=peer: identity_of(peer)))
        yield f"peers/{peer.name}/events.jsonl", _tail(peer.events_file)
        yield f"peers/{peer.name}/peer.log", _tail(peer.log_file)
    yield "host/events.jsonl", _tail(home.host / "events.jsonl")
    yield "outbox.json", _pretty(_tried(lambda: _outbox(home)))


def all_secrets(chosen: Settings) -> set[str]:
    """Every secret of the home and the environment, in every form in which it may turn up in a text."""
    home = Home(chosen.home)
    raw: list[bytes] = [value.encode() for name, value in os.environ.items() if _is_secret(name, value)]
    for folder in sorted(path.parent for path in home.peers.glob("*/swarm.pem")):
        raw += _secrets_of(PeerHome(folder), chosen)
    for path in (*home.host.glob("**/swarm.pem"), *home.host.glob("**/*.password"), *home.host.glob("**/wallet.json")):
        raw += _bytes_of(path)
    with suppress(SwarmError, OSError):
        raw += [load_key(path).secret for path in home.host.glob("**/swarm.pem")]
    with suppress(SwarmError, OSError):
        raw += [open_wallet(path).secret for path in home.host.glob("**/wallet.json")]
    if chosen.wallet.password_file is not None:
        raw += _bytes_of(chosen.wallet.password_file)
    token = _token(home)
    urls = [*chosen.chain.rpc, *chosen.chain.public_rpc, *(token.rpc if token is not None else ())]
    found = {form for secret in raw for form in forms_of(secret)}
    return found | {piece for url in urls for piece in secrets_in_url(url)}


def clean(text: str, chosen: Settings, hidden: Iterable[str]) -> str:
    """``text`` without secrets, and without where on the machine it comes from."""
    text = redacted(text, hidden)
    for path, name in ((str(chosen.home), "HOME"), (os.path.expanduser("~"), "~")):
        if len(path) > 1:
            text = text.replace(path, name)
    return text


def _secrets_of(peer: PeerHome, chosen: Settings) -> list[bytes]:
    raw = _bytes_of(peer.key_file) + _bytes_of(peer.root / "wallet.password") + _bytes_of(peer.wallet_file)
    with suppress(SwarmError):
        raw.append(load_key(peer.key_file).secret)
    with suppress(SwarmError):
        raw += load_signing_keys(peer.root).values()
    password = os.environ.get("SWARM_WALLET_PASSWORD")
    with suppress(SwarmError):
        if peer.wallet_file.exists():
            raw.append(
                open_wallet(peer.wallet_file, password=password, password_file=chosen.wallet.password_file).secret
            )
    return raw


def _bytes_of(path: Path) -> list[bytes]:
    with suppress(OSError):
        return [path.read_bytes().strip()]
    return []


def _is_secret(name: str, value: str) -> bool:
    """Variables that are named like a secret; a password of this program is one however short it is."""
    if name.startswith("SWARM_") and "PASSWORD" in name:
        return bool(value)
    return len(value) >= 8 and any(word in name.upper() for word in ("PASSWORD", "SECRET", "TOKEN", "API_KEY"))


def _versions() -> dict[str, Any]:
    from swarm.doctor.look_machine import LIBRARIES, RealMachine

    packages = {one.name: one.found for one in RealMachine(Path("."), "cpu", "tiny").look().packages}
    return {
        "program": version("rl-swarm-peer"),
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: packages.get(name) for name in LIBRARIES},
        "made_at": time.time(),
    }


def _doctor(chosen: Settings) -> Any:
    from swarm.app.checkup import QUICK, examine
    from swarm.processes.process import run_until_signal

    found: list[Any] = []

    async def look() -> int:
        names = sorted(path.parent.name for path in Home(chosen.home).peers.glob("*/swarm.pem")) or ["1"]
        for name in names[:8]:
            found.append({"peer": name, "findings": await examine(chosen, (), (), name, **QUICK)})
        return 0

    run_until_signal(look)
    return msgspec.to_builtins(found)


def _swarm(token: JoinToken) -> dict[str, Any]:
    from chain.endpoints import shown

    return {
        "run": msgspec.to_builtins(token.run),
        "run_id": token.run.id,
        "contracts": msgspec.to_builtins(token.contracts),
        "bootnodes": list(token.bootnodes),
        "rpc": [shown(url) for url in token.rpc],
    }


def _outbox(home: Home) -> Any:
    from swarm.observe.sending import sendings

    return msgspec.to_builtins(sendings(home.root))


def _token(home: Home) -> JoinToken | None:
    with suppress(SwarmError):
        return read_join_file(home.join_file)
    return None


def _tried(look: Any) -> Any:
    """What it finds, or why it cannot: a report is made when something is broken."""
    try:
        return look()
    except SwarmError as error:
        return {"problem": str(error)}


def _tail(path: Path) -> str:
    """The last lines of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LAST_EVENTS:]) + "\n"


def _pretty(body: Any) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False, default=str) + "\n"


def _write(to: Path, files: dict[str, str]) -> None:
    temporary = to.with_name(f".{to.name}.{secrets.token_hex(4)}.tmp")
    try:
        if to.suffix == ".zip":
            with zipfile.ZipFile(temporary, "x", zipfile.ZIP_DEFLATED) as archive:
                for name, text in files.items():
                    archive.writestr(name, text)
        else:
            for name, text in files.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_text(text)
        os.rename(temporary, to)
    except OSError as error:
        raise ConfigError(
            f"The report cannot be written to {to}: {error.strerror or error}.", "Nothing was written.", "Name another."
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
