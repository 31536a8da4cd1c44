"""Why this module exists: a private swarm brings its own EVM chain, which must survive everything that happens to it.

anvil on loopback only: its RPC can move money and forge senders, so other machines talk to it through ``chain.gate``.
The state is written every second and copied aside: an orderly end loses nothing, ``kill -9`` at most the last seconds
of blocks, and ``Gate.resend`` gives their transactions back to the restarted chain. Blocks and receipts of the whole
run stay readable; state of past blocks is not kept, so calls at old blocks fail. History costs about 1.7 kB of disk and
7 kB of memory a block.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from chain.ethereum import Account, LocalAccount
from chain.install import require_anvil
from chain.rpc import Rpc, quantity
from chain.state_guard import keep_copies, restore
from protocol.errors import ChainError, ChainUnreachable, ConfigError

CHAIN_ID = 31337
HARDFORK = "osaka"
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 5.0
DEV_ACCOUNT_WEI = 10**24
STATE_FILE = "chain-state.json"
_PR_SET_PDEATHSIG = 1


class DevChain:
    """A running anvil. ``url``: its RPC, for this machine only; ``account``: money for deployments and the faucet."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, account: LocalAccount) -> None:
        self.url = url
        self.account = account
        self._process = process
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        folder: Path,
        *,
        port: int = 0,
        block_time_s: float = 1.0,
        chain_id: int = CHAIN_ID,
        binary: Path | None = None,
    ) -> DevChain:
        """Start, or start again, the chain whose state is in ``folder`` and wait until it answers.

        ``port`` 0 picks a free one. ``block_time_s`` may be a fraction (block timestamps stay whole seconds, several
        blocks then share one). The process ends with this one (at once on Linux, by ``stop`` elsewhere).
        Raises ``ConfigError`` (not installed, port taken) or ``ChainError`` (it does not come up).
        """
        binary = binary or require_anvil()
        port = port or _free_port()
        _require_free(port)
        await asyncio.to_thread(restore, folder / STATE_FILE)
        process = _launch(folder, anvil_command(binary, folder, port, block_time_s, chain_id))
        chain = cls(process, f"http://127.0.0.1:{port}", _dev_account(folder / "dev-account.key"))
        try:
            await chain._come_up(folder / "anvil.log")
        except BaseException:
            await chain.stop()
            raise
        chain._keeper = asyncio.create_task(keep_copies(folder / STATE_FILE))
        return chain

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` while it runs."""
        return self._process.poll()

    async def wait(self) -> int:
        """Wait until the process has ended, for whatever reason; its exit code."""
        code = await asyncio.to_thread(self._process.wait)
        self._stop_keeper()
        return code

    async def stop(self) -> None:
        """End it in an orderly way, the state written; by force when that takes too long."""
        self._stop_keeper()
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await self.wait()

    def _stop_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None

    async def _come_up(self, log_file: Path) -> None:
        rpc = Rpc([self.url], num_attempts=1)
        deadline = time.monotonic() + START_TIMEOUT_S
        try:
            while True:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise ChainError(
                        "The dev chain did not start: " + _last_words(log_file),
                        "The swarm has no chain; nothing is lost.",
                        f"Read {log_file}; if its state file is damaged, move {log_file.parent} away.",
                    )
                with contextlib.suppress(ChainUnreachable):
                    balance = quantity(await rpc.request("eth_getBalance", self.account.address, "latest"))
                    break
                await asyncio.sleep(0.02)
            if balance < DEV_ACCOUNT_WEI // 2:
                await rpc.request("anvil_setBalance", self.account.address, hex(DEV_ACCOUNT_WEI))
        finally:
            await rpc.close()


def anvil_command(binary: Path, folder: Path, port: int, block_time_s: float, chain_id: int) -> list[str]:
    """The command line. No well-known dev accounts: everybody has their keys, and the gate passes transactions on."""
    return [
        str(binary),
        "--silent",
        *("--host", "127.0.0.1"),
        *("--port", str(port)),
        *("--chain-id", str(chain_id)),
        *("--hardfork", HARDFORK),
        *("--block-time", f"{block_time_s:g}"),
        *("--accounts", "0"),
        *("--state", str(folder / STATE_FILE)),
        *("--state-interval", "1"),
        "--prune-history",
    ]


def _launch(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """Start the process from this thread: the kernel ends it when the thread that started it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "anvil.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid()),
        )


def _dev_account(key_file: Path) -> LocalAccount:
    """The account that pays for deployments and the faucet: made once per chain, readable by its owner only."""
    if not key_file.exists():
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
    try:
        account: LocalAccount = Account.from_key(key_file.read_text().strip())
    except ValueError as error:
        raise ConfigError(
            f"{key_file} does not contain a key.", "The dev chain cannot pay for anything.", "Delete the file."
        ) from error
    return account


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"Port {port} on 127.0.0.1 is taken.",
                "The dev chain was not started.",
                "End the program that uses it, or choose another port (0 picks a free one).",
            ) from error


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    """On Linux the kernel ends the child when its parent ends, however that happens."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended in between
            os._exit(1)

    return in_child


def _last_words(log_file: Path) -> str:
    try:
        lines = log_file.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    return " / ".join(lines[-4:])[-500:] or "it printed nothing."
