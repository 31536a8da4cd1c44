"""Why this module exists: an identity is lost once; each way to lose it is told before it happens. Pure."""

from __future__ import annotations

from swarm.doctor.facts import IdentityFacts
from swarm.doctor.findings import Finding, fail, ok, skipped, warn

OLD_BACKUP_S = 30 * 86_400
"""A backup this old still has identity and wallet, and no state that others still serve."""


def check_identity(identity: IdentityFacts, now: float) -> list[Finding]:
    """Key file, wallet, backup, and whether this peer may sign."""
    if not identity.exists and not identity.problem:
        return [skipped("key file", f"Peer {identity.name} has none yet; it is made at the first start.")]
    findings = [_key(identity), _wallet(identity), _backup(identity, now)]
    if identity.running_pid is not None:
        findings.append(ok("process", f"this peer runs, in process {identity.running_pid}"))
    if identity.is_restored:
        findings.append(
            warn(
                "restored",
                "This peer comes from a backup: it sits out the round that is open when it starts.",
                "Make sure that the other machine never runs it again; two that sign for one peer lose its stake.",
            )
        )
    return findings


def _key(identity: IdentityFacts) -> Finding:
    if identity.problem:
        return fail("key file", identity.problem, identity.fix)
    if identity.key_mode & 0o077:
        return fail(
            "key file",
            f"swarm.pem can be read or changed by other users (mode {identity.key_mode:04o}).",
            "Run chmod 600 on it (and make a new identity if others use this machine).",
        )
    more = f", signing keys made later: {identity.num_keys}" if identity.num_keys else ""
    return ok("key file", f"{identity.peer} ({identity.key_type}, mode {identity.key_mode:04o}){more}")


def _wallet(identity: IdentityFacts) -> Finding:
    if identity.wallet_problem:
        return fail("wallet", identity.wallet_problem, identity.wallet_fix)
    if identity.wallet is None and identity.wallet_is_open is None:
        return skipped("wallet", "There is none yet; it is made at the first start.")
    if identity.wallet_is_open is None:
        return warn(
            "wallet",
            f"{identity.wallet}; no password is at hand, so it was not opened.",
            "A peer that starts needs it: set SWARM_WALLET_PASSWORD or --password-file.",
        )
    return ok("wallet", f"{identity.wallet} opens")


def _backup(identity: IdentityFacts, now: float) -> Finding:
    command = "`swarm identity backup FILE`" + (f" with --peer {identity.name}" if identity.name != "1" else "")
    if identity.backup_at is None:
        return warn(
            "backup",
            "There is none: with this disk the peer's name, stake and pay would be lost.",
            f"Make one with {command}, and keep it elsewhere.",
        )
    if identity.backup_keys < identity.num_keys:
        return warn("backup", "The last one is older than the peer's signing key.", f"Make a new one with {command}.")
    days = max(0.0, now - identity.backup_at) / 86_400
    if days * 86_400 > OLD_BACKUP_S:
        return warn(
            "backup",
            f"The last one is {days:.0f} days old: identity and wallet are safe, its work is not.",
            f"Make a new one with {command}.",
        )
    return ok("backup", f"{days:.1f} days old")
