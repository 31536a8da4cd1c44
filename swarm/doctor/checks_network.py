"""Why this module exists: "cannot connect" has a dozen causes, and each has another cure. Pure."""

from __future__ import annotations

from swarm.doctor.facts import BootnodeFacts, NetworkFacts
from swarm.doctor.findings import Finding, fail, ok, skipped, warn

WARN_SKEW_S, FAIL_SKEW_S = 3.0, 30.0
"""Presence lives for 45 seconds, by everybody's own clock: beyond half a minute a machine seems to be gone."""

_TOKEN = "Ask the host for the present join token (--join TOKEN)."


def check_network(network: NetworkFacts) -> list[Finding]:
    """Each bootnode with the step that failed, the clock, whether others reach this machine, and the wire version."""
    if network.not_asked:
        return [skipped("bootnodes", network.not_asked, _TOKEN)]
    if network.problem:
        return [fail("listening", network.problem, network.fix)]
    if not network.bootnodes:
        return [fail("bootnodes", "The join token names none, so nobody can be found.", _TOKEN)]
    several = len(network.bootnodes) > 1
    joined = [node for node in network.bootnodes if not node.failed]
    findings = []
    for number, node in enumerate(network.bootnodes, 1):
        name = f"bootnode {number}" if several else "bootnode"
        findings.append(_bootnode(name, node, network.wire_version, is_only=not joined))
    findings.append(_wire(network))
    findings.append(check_clock([node.clock_ahead_s for node in joined if node.clock_ahead_s is not None]))
    findings.append(_reachable(network, joined))
    return findings


def _bootnode(name: str, node: BootnodeFacts, wire_version: int, *, is_only: bool) -> Finding:
    took_ms = sum(ms for _, ms in node.steps)
    steps = ", ".join(f"{step} {ms:.0f} ms" for step, ms in node.steps)
    if not node.failed:
        return ok(name, f"{node.address}: {steps}", took_ms=took_ms)
    say = fail if is_only else warn
    after = f" (after {steps})" if steps else ""
    what, fix = _why(node, wire_version)
    detail = f": {node.detail}" if node.detail else ""
    return say(name, f"{node.address}: {what}{after}{detail}.", fix)


def _why(node: BootnodeFacts, wire_version: int) -> tuple[str, str]:
    if node.failed == "address":
        return "is not an address that can be dialled", _TOKEN
    if node.failed == "tcp":
        return "no TCP connection", (
            "Check that the host runs, that its address is reachable from here, and that no firewall is in between."
        )
    if node.failed == "handshake":
        return "TCP answers, but another program or another identity is there", (
            "Ask the host for its present address; it changed its identity, or something else took its port."
        )
    if node.speaks is not None:
        newer = node.speaks > wire_version
        return f"speaks wire version {node.speaks}, this program {wire_version}", (
            "Install the newer version of this program." if newer else "Ask the host to update, or install its version."
        )
    return "is the right peer, but takes no part in this run", (
        "Use the join token of this host's present run: it may have begun another one."
    )


def _wire(network: NetworkFacts) -> Finding:
    other = sum(count for reason, count in network.rejected if reason == "wrong_version")
    spoken = {node.speaks for node in network.bootnodes if node.speaks is not None}
    if spoken or other:
        whose = f"bootnodes speak version {min(spoken)}" if spoken else f"{other} records of another version were seen"
        return (fail if spoken else warn)(
            "wire version",
            f"This program speaks version {network.wire_version}; {whose}.",
            "Use the same version of this program as the swarm.",
        )
    return ok("wire version", f"{network.wire_version}, {network.num_peers} other peers announce themselves in it")


def check_clock(ahead_s: list[float], *, name: str = "clock") -> Finding:
    """This machine's clock against others'. ``ahead_s``: their clocks minus this one; the median decides."""
    if not ahead_s:
        return skipped(name, "Nobody answered to compare the clock with.")
    off_s = -sorted(ahead_s)[len(ahead_s) // 2]
    said = f"{abs(off_s):.1f} s {'ahead of' if off_s > 0 else 'behind'} others"
    fix = "Turn on time synchronisation: `timedatectl set-ntp true`, or your system's setting."
    if abs(off_s) >= FAIL_SKEW_S:
        return fail(name, f"This machine's clock is {said}: its records look expired, or not yet made.", fix)
    if abs(off_s) >= WARN_SKEW_S:
        return warn(name, f"This machine's clock is {said}.", fix)
    return ok(name, said)


def _reachable(network: NetworkFacts, joined: list[BootnodeFacts]) -> Finding:
    if not joined:
        return skipped("reachable", "Nobody answered who could call back.")
    if any(node.reachable for node in joined):
        return ok("reachable", f"others can call back at {', '.join(network.addresses[:2]) or 'this machine'}")
    if not network.listens_publicly:
        return warn(
            "reachable",
            "This peer listens on 127.0.0.1 only: others cannot fetch its work except through relays.",
            "Set network.host to 0.0.0.0 (SWARM_NETWORK__HOST=0.0.0.0).",
        )
    return warn(
        "reachable",
        "The bootnode cannot call back: a firewall or a router is in between, relays are used.",
        "Open and forward one TCP port: set network.port, and network.announce to the address that others dial.",
    )
