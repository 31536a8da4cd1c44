"""Why this module exists: a process that runs a stranger's code locks itself up first, with what Linux gives anybody.

    limits      CPU seconds, memory, file size, open files, no core dump; it dies with who started it
    Landlock    nothing can be opened but Python's own library, to read (see landlock(7))
    seccomp     a list of harmless system calls; any other fails: no socket, process, signal, program (see seccomp(2))

Runs inside of the cell, before anything of ours is importable: the standard library only, and no import of this
program. ``missing`` tells what a machine lacks; nothing here falls back to less.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import sys

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
"""System calls; the same numbers on every architecture."""

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_SECCOMP_ALLOW, _SECCOMP_EPERM, _SECCOMP_KILL = 0x7FFF0000, 0x00050001, 0x80000000
_READ = 0b1101  # execute (of mapped libraries: not needed, but harmless), read a file, list a folder
_WRITE = 0b10  # to a file that is there
_SCOPES = 0b11  # no abstract sockets and no signals to the outside

_FCNTL_COMMANDS = (0, 1, 2, 3, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC: none makes the kernel signal another process."""

_ARCHITECTURES = {
    "x86_64": (
        0xC000003E,
        72,
        (
            *range(16), *range(17, 22), 23, 24, 25, 28, 32, 33, 35, 36, 38, 39, 60, 63, 77, 78, 79, 82, 83, 84, 87, 89,
            96, 97, 98, 100, 102, 104, 107, 108, 110, 131, 158, 186, 201, 202, 204, 217, 218, 219, 228, 229, 230, 231,
            257, 258, 262, 263, 267, 269, 270, 271, 273, 292, 293, 318, 324, 332, 334, 439,
        ),
    ),
    "aarch64": (
        0xC00000B7,
        25,
        (
            17, 23, 24, 34, 35, 38, 46, 48, 56, 57, 59, *range(61, 69), 72, 73, 78, 79, 80, 93, 94, 96, 98, 99, 101,
            102, 103, 113, 114, 115, 123, 124, 128, 132, 134, 135, 139, 153, 160, 165, 169, *range(172, 179), 214, 215,
            216, 222, 226, 233, 278, 283, 291, 293, 439,
        ),
    ),
}  # fmt: skip
"""Machine -> its name in seccomp, its number of fcntl, and what may be called: read and write what is open, open and
look at files, memory, clocks, waiting, signal handlers of one's own, ids, exit. Numbers from asm/unistd.h."""


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def missing() -> str:
    """What this machine lacks to lock a process up, in words; empty where nothing is. Changes nothing."""
    if sys.platform != "linux":
        return f"{platform.system() or sys.platform} has neither Landlock nor seccomp, which only Linux has"
    if platform.machine() not in _ARCHITECTURES:
        return f"the list of harmless system calls is not known for {platform.machine()}"
    if _libc().syscall(LANDLOCK_CREATE_RULESET, None, 0, 1) < 1:
        return "the kernel has no Landlock (Linux 5.13 or newer, and it must be among the active security modules)"
    if not os.path.exists("/proc/sys/kernel/seccomp/actions_avail"):
        return "the kernel has no seccomp filters"
    return ""


def limit(cpu_s: int, memory_bytes: int, file_bytes: int, num_files: int = 64) -> None:
    """Hard limits of this process. What exceeds the CPU seconds is killed; memory ends in ``MemoryError``."""
    limits = {
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: num_files,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        resource.setrlimit(which, (most, most))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails with an OSError instead


def lock_up(readable: tuple[str, ...], writable: tuple[str, ...]) -> None:
    """Shut this process in for good: see the module. Raises ``OSError`` where a part of it fails."""
    libc = _libc()
    _must(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "PR_SET_PDEATHSIG")
    _must(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    _restrict_files(libc, readable, writable)
    _restrict_calls(libc)


def _restrict_files(libc: ctypes.CDLL, readable: tuple[str, ...], writable: tuple[str, ...]) -> None:
    abi = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    _must(abi, "landlock")
    num_rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
    handled = _RulesetAttr((1 << num_rights) - 1, 0b11 if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(handled), size, 0)
    _must(ruleset, "landlock_create_ruleset")
    for paths, allowed in ((readable, _READ), (writable, _READ | _WRITE)):
        for path in paths:
            try:
                folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            rights = allowed if os.path.isdir(path) else allowed & 0b111
            rule = _PathBeneath(rights, folder)
            _must(libc.syscall(LANDLOCK_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0), f"landlock_add_rule {path}")
            os.close(folder)
    _must(libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _restrict_calls(libc: ctypes.CDLL) -> None:
    name, fcntl, allowed = _ARCHITECTURES[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06
    lines = [(load, 0, 0, 4), (equal, 1, 0, name), (give, 0, 0, _SECCOMP_KILL), (load, 0, 0, 0)]
    for number in allowed:
        lines += [(equal, 0, 1, number), (give, 0, 0, _SECCOMP_ALLOW)]
    lines += [(equal, 1, 0, fcntl), (give, 0, 0, _SECCOMP_EPERM), (load, 0, 0, 24)]  # its second argument, low half
    for command in _FCNTL_COMMANDS:
        lines += [(equal, 0, 1, command), (give, 0, 0, _SECCOMP_ALLOW)]
    lines.append((give, 0, 0, _SECCOMP_EPERM))
    filters = (_Instruction * len(lines))(*(_Instruction(*line) for line in lines))
    program = _Program(len(lines), filters)
    _must(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "seccomp")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _must(result: int, what: str) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what} failed")
