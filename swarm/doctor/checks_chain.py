"""Why this module exists: work that the chain cannot pay for is told before it is done. Pure."""

from __future__ import annotations

from swarm.doctor.checks_network import FAIL_SKEW_S
from swarm.doctor.facts import ChainFacts, EndpointFacts, IdentityFacts
from swarm.doctor.findings import Finding, fail, ok, skipped, warn

STALE_S = 180.0
"""A chain that made no block for so long stands still."""

GAS_OF_A_START = 900_000
"""Registering, staking, enrolling and a first claim, about."""

GAS_OF_A_ROUND = 120_000
DOMAIN = ("RL Swarm", "1")
"""What the registry of this version signs in the name of."""


def check_chain(chain: ChainFacts, identity: IdentityFacts) -> list[Finding]:
    """Endpoints, chain id, contracts, and what they know of this peer."""
    if chain.not_asked:
        return [skipped("chain", chain.not_asked, "Name the swarm: --join TOKEN.")]
    several = len(chain.endpoints) > 1
    findings = [
        _endpoint(f"endpoint {number}" if several else "endpoint", one, chain, several)
        for number, one in enumerate(chain.endpoints, 1)
    ]
    alive = [one for one in chain.endpoints if not one.problem]
    if not alive:
        return [*findings, skipped("contracts", "No endpoint answered to ask about them.")]
    findings.append(_chain_id(chain, alive))
    findings.append(_time(chain, alive))
    if all(one.chain_id != chain.wanted_chain_id for one in alive):
        return findings
    findings += [_contracts(chain), _version(chain)]
    if chain.problem or not all(there for _, there in chain.codes):
        return findings
    if identity.peer is not None and chain.is_registered is not None:
        findings += _peer(chain, identity)
    return findings


def _endpoint(name: str, one: EndpointFacts, chain: ChainFacts, several: bool) -> Finding:
    if one.problem:
        is_last = all(other.problem for other in chain.endpoints)
        return (fail if is_last else warn)(
            name,
            f"{one.shown}: {one.problem}.",
            "Check the network and the URL (its key, too), or name another endpoint: chain.rpc or --rpc URL.",
        )
    best = max(other.head or 0 for other in chain.endpoints if not other.problem)
    if several and one.head is not None and one.head < best - 3:
        return warn(
            name,
            f"{one.shown} is {best - one.head} blocks behind the best one.",
            "It is left out for now; name another one if it stays so.",
        )
    return ok(name, f"{one.shown}, block {one.head}", took_ms=one.took_ms)


def _chain_id(chain: ChainFacts, alive: list[EndpointFacts]) -> Finding:
    wrong = sorted(
        {one.chain_id for one in alive if one.chain_id != chain.wanted_chain_id and one.chain_id is not None}
    )
    if wrong:
        some_right = any(one.chain_id == chain.wanted_chain_id for one in alive)
        return (warn if some_right else fail)(
            "chain id",
            f"The run lives on chain {chain.wanted_chain_id}; endpoints serve chain {', '.join(map(str, wrong))}.",
            f"Name an endpoint of chain {chain.wanted_chain_id}: chain.rpc or --rpc URL.",
        )
    return ok("chain id", str(chain.wanted_chain_id))


def _time(chain: ChainFacts, alive: list[EndpointFacts]) -> Finding:
    latest = max((one.head_at for one in alive if one.head_at is not None), default=None)
    if latest is None:
        return skipped("chain time", "No endpoint said when its latest block was made.")
    age_s = chain.now - latest
    if age_s < -FAIL_SKEW_S / 2:
        return fail(
            "chain time",
            f"The chain's latest block is {-age_s:.0f} s in this machine's future: this clock is behind.",
            "Turn on time synchronisation: `timedatectl set-ntp true`, or your system's setting.",
        )
    if age_s > STALE_S:
        return fail(
            "chain time",
            f"The chain made no block for {age_s:.0f} s: it stands still, or this machine's clock is ahead.",
            "Compare the clock first; if it is right, ask the host about its chain, or name another endpoint.",
        )
    return ok("chain time", f"latest block {max(0.0, age_s):.0f} s ago")


def _contracts(chain: ChainFacts) -> Finding:
    missing = [name for name, there in chain.codes if not there]
    if missing:
        return fail(
            "contracts",
            f"There is no code at the address of: {', '.join(missing)}.",
            "Ask the host for the present join token: its chain was set up anew, or the token is for another chain.",
        )
    if chain.problem:
        return fail(
            "contracts",
            chain.problem,
            "Ask the host for the present join token: these contracts are another run's, or another version's.",
        )
    return ok("contracts", f"{len(chain.codes)} in place, wired to each other")


def _version(chain: ChainFacts) -> Finding:
    if chain.domain is None:
        return skipped("contract version", "The registry did not say.")
    if chain.domain != DOMAIN:
        return fail(
            "contract version",
            f"The registry signs for {chain.domain[0]} {chain.domain[1]}, this program for {DOMAIN[0]} {DOMAIN[1]}.",
            "Install the version of this program that the run was created with.",
        )
    return ok("contract version", " ".join(chain.domain))


def _peer(chain: ChainFacts, identity: IdentityFacts) -> list[Finding]:
    findings = [_gas(chain, identity)]
    record = chain.record
    if record is None:
        findings.append(ok("registration", "not registered yet; that is done at the first start"))
        return findings
    if identity.wallet is not None and record.owner.lower() != identity.wallet.lower():
        findings.append(
            fail(
                "registration",
                f"This peer is registered to the wallet {record.owner}; the one here is {identity.wallet}.",
                f"Put the wallet.json of {record.owner} beside swarm.pem, or restore the backup that has both.",
            )
        )
        return findings
    findings.append(ok("registration", f"owned by {record.owner}"))
    if identity.accounts and record.signer not in identity.accounts:
        findings.append(
            fail(
                "signing account",
                f"The registry says that {record.signer} signs for this peer; its key is not here.",
                "Restore the newest backup, or name another account with `swarm identity rotate`.",
            )
        )
    else:
        findings.append(ok("signing account", record.signer))
    findings += [_stake(chain), _standing(chain)]
    return findings


def _gas(chain: ChainFacts, identity: IdentityFacts) -> Finding:
    if chain.balance is None or chain.gas_price_wei is None:
        return skipped("balance", "The wallet's balance could not be asked.")
    is_new = chain.record is None
    gas = GAS_OF_A_START if is_new else 10 * GAS_OF_A_ROUND
    needed, held = gas * chain.gas_price_wei, chain.balance.gas_wei
    said = f"{held / 10**18:.6g} coins for gas, {chain.balance.token_wei / 10**18:.6g} tokens"
    if held < needed and not chain.has_faucet:
        for_what = "a start" if is_new else "ten rounds"
        return (fail if held < needed // 10 else warn)(
            "balance",
            f"{said}; {for_what} takes about {needed / 10**18:.3g} coins at the present price.",
            f"Send coins of chain {chain.wanted_chain_id} to {identity.wallet}.",
        )
    return ok("balance", said + (" (the host's faucet gives what is missing)" if chain.has_faucet else ""))


def _stake(chain: ChainFacts) -> Finding:
    assert chain.record is not None
    held, least = chain.record.stake_micro, chain.min_stake_micro
    missing = least - held
    said = f"{held / 1e6:g} tokens staked, {least / 1e6:g} asked for"
    if missing <= 0:
        return ok("stake", said)
    tokens = chain.balance.token_wei // 10**12 if chain.balance is not None else 0
    if tokens < missing and not chain.has_faucet:
        return fail(
            "stake",
            f"{said}, and the wallet holds {tokens / 1e6:g}: this peer cannot become a member.",
            f"Send {missing / 1e6:g} tokens to the wallet; they are staked at the next start.",
        )
    return warn("stake", f"{said}.", "It is put up at the next start; or now: `swarm stake " + f"{missing / 1e6:g}`.")


def _standing(chain: ChainFacts) -> Finding:
    assert chain.record is not None
    if chain.round is not None and chain.record.barred_until > chain.round:
        return fail(
            "membership",
            f"This peer is barred until round {chain.record.barred_until}; the swarm is in round {chain.round}.",
            "Wait until then; look into the disputes and audits of its last rounds meanwhile.",
        )
    if chain.ends_at and chain.ends_at < chain.now:
        return fail("membership", "The run has ended; nothing is paid in it any more.", "Join another run.")
    if chain.record.enrolled:
        return ok("membership", f"member with weight {chain.record.weight}")
    return ok("membership", "no member now; it enrols at the next start")
