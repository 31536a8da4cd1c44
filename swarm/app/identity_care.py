"""Why this module exists: what people do for a peer's identity: look at it, save it, bring it back, change its key."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from chain.base import Refresh
from identity.fence import Fence
from identity.keyfile import load_key
from identity.names import nickname
from identity.signer import Signer
from identity.signing_keys import load_signing_keys, make_signing_key
from identity.wallet import wallet_address
from protocol.errors import ConfigError
from swarm.app.finding import Find
from swarm.app.orders import PASSWORD_VARIABLE, require_peer_name
from swarm.app.passwords import backup_password
from swarm.member.backups import backup_warning, last_backup, restore_backup, write_backup
from swarm.settings.config import Settings
from swarm.settings.home import Home, PeerHome, require_writable


def show(home: Path, name: str | None, *, as_json: bool) -> int:
    """Who the peers of a home are, from their files alone; no secret is shown."""
    found = [identity_of(Home(home).peer(one)) for one in _names(home, name)]
    if as_json:
        print(json.dumps({"identity": found}), flush=True)
        return 0
    for one in found:
        for key, value in one.items():
            print(f"{key:<16} {_in_words(value)}")
        print(flush=True)
    for one in _names(home, name):
        _warn(Home(home).peer(one))
    return 0


def identity_of(home: PeerHome) -> dict[str, Any]:
    """What may be known of one peer's identity. Raises ``IdentityError`` for files that cannot be used."""
    key = load_key(home.key_file)
    wallet = wallet_address(home.wallet_file) if home.wallet_file.exists() else None
    signer = Signer(key, wallet or _NOBODY, rotated=lambda: load_signing_keys(home.root))
    saved, restored = last_backup(home), Fence(home.root).restored
    return {
        "name": home.name,
        "nickname": nickname(key.peer),
        "peer": key.peer,
        "key_type": key.kind.name.lower(),
        "key_file": str(home.key_file),
        "key_mode": f"{stat.S_IMODE(home.key_file.stat().st_mode):04o}",
        "wallet": wallet,
        "signing_accounts": list(signer.accounts),
        "backup_at": saved.made_at if saved is not None else None,
        "restored_at": restored.restored_at if restored is not None else None,
        "not_signing_up_to": dict(restored.closed) if restored is not None else {},
    }


def backup(home: Path, name: str, file: Path, password_file: Path | None, *, as_json: bool) -> int:
    """Save one peer to ``file``."""
    peer = _existing(home, name)
    password = backup_password(os.environ, password_file, is_new=True)
    about, record = write_backup(peer, file, password, program=version("rl-swarm-peer"))
    if as_json:
        print(json.dumps({"backup": msgspec.to_builtins(about) | {"file": str(file), "bytes": record.num_bytes}}))
        return 0
    print(f"Saved {nickname(about.peer)} with its wallet and its work to {file}, {record.num_bytes:,} bytes.")
    print("Keep it on another machine, and the password apart from it: nobody can open it without.", file=sys.stderr)
    return 0


def restore(home: Path, name: str, file: Path, password_file: Path | None, *, as_json: bool) -> int:
    """Bring the peer in ``file`` back as the peer ``name`` of the home."""
    require_peer_name(name)
    require_writable(home)
    password = backup_password(os.environ, password_file, is_new=False)
    about = restore_backup(Home(home).peer(name), file, password)
    if as_json:
        print(json.dumps({"restore": msgspec.to_builtins(about) | {"folder": str(Home(home).peer(name).root)}}))
        return 0
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(about.made_at))
    print(f"Restored {nickname(about.peer)} as of {made} to {Home(home).peer(name).root}.")
    print(
        "It sits out the round that is open when it starts, which it may have signed elsewhere. Never let the other "
        "machine run it again.",
        file=sys.stderr,
    )
    return 0


def rotate(chosen: Settings, find: Find, name: str, *, dry_run: bool, as_json: bool) -> int:
    """Let a fresh account sign for the peer from the next round on."""
    from swarm.processes.process import run_until_signal

    require_peer_name(name)
    return run_until_signal(lambda: _rotate(chosen, find, name, dry_run, as_json))


async def _rotate(chosen: Settings, find: Find, name: str, dry_run: bool, as_json: bool) -> int:
    import secrets

    from swarm.app.acting import Terminal, open_actor
    from swarm.app.chain_commands import own_record

    token = await find()
    terminal = Terminal(as_json=as_json)
    password = os.environ.get(PASSWORD_VARIABLE)
    async with open_actor(chosen, token, name, terminal, password=password, dry_run=dry_run) as actor:
        record = await own_record(actor)
        number = record.nonce
        secret = secrets.token_bytes(32) if dry_run else make_signing_key(actor.home.root, number)
        rotation = actor.signer.rotation(actor.chain.contracts, secret, number)
        await actor.order("name another signing account", rotation)
        if record.enrolled and not dry_run:
            await actor.order("tell the run", Refresh(record.peer))
        if not dry_run:
            terminal.answer(
                f"{rotation.signer} signs for {nickname(record.peer)} from the next round on; a running peer notices "
                f"by itself. What {record.signer} signed stays this peer's for ever."
            )
            terminal.note(backup_warning(actor.home) or "")
        body = actor.report(former=record.signer, signer=None if dry_run else rotation.signer)
    if as_json:
        print(json.dumps({"rotate": body}), flush=True)
    return 0


_NOBODY = "0x" + 40 * "0"


def _names(home: Path, name: str | None) -> list[str]:
    if name is not None:
        return [_existing(home, name).name]
    names = sorted(path.parent.name for path in Home(home).peers.glob("*/swarm.pem"))
    if not names:
        raise ConfigError(f"No peer has ever run in {home}.", "There is nothing to show.", "Name the peer's --home.")
    return names


def _existing(home: Path, name: str) -> PeerHome:
    require_peer_name(name)
    peer = Home(home).peer(name)
    if not peer.root.is_dir():
        raise ConfigError(
            f"There is no peer {name!r} in {home}.", "Nothing was done.", "Name another one with --peer and --home."
        )
    return peer


def _warn(home: PeerHome) -> None:
    warning = backup_warning(home)
    if warning is not None:
        print(warning, file=sys.stderr)


def _in_words(value: Any) -> str:
    if value is None or value in ({}, []):
        return "–"
    if isinstance(value, float):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"run {key[:12]}: round {one}" for key, one in value.items())
    return str(value)
