"""Why this module exists: ``swarm export-model``: the included state of a peer, with a card that says where it is from.

The card cites what can be checked by others: run, rounds, state root, and who did which of this peer's work again.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from protocol.errors import ConfigError, VerificationError
from protocol.ids import ContentId
from protocol.run import JoinToken
from swarm.member.checkpoint import Checkpoints
from swarm.settings.config import Settings
from swarm.settings.home import Home

NOTHING = "Nothing was written; credits are not touched."


class Judged(msgspec.Struct, frozen=True):
    """What one peer found when it did work of this one again. ``finding``: ``match``, ``mismatch``, ``unavailable``."""

    round: int
    contribution: ContentId
    by: str
    level: int
    finding: str


class Record(msgspec.Struct, frozen=True):
    """Where a model is from, as ``record.json``. ``state``: the root of its state; ``round``: the one that included it.
    ``settled``: rounds with a contribution of this peer in their recorded result; ``audits``: of its contributions."""

    run: ContentId
    run_name: str
    chain_id: int
    genesis: ContentId
    model: str
    task: str
    engine: str
    lora_rank: int
    peer: str
    state: ContentId
    round: int
    settled: tuple[int, ...]
    struck: tuple[int, ...]
    audits: tuple[Judged, ...]
    accuracy: tuple[tuple[int, int, int], ...]


def export_model(chosen: Settings, name: str, to: Path, *, is_merged: bool) -> Record:
    """Write the model of the peer ``name`` into the new folder ``to``; nothing is ever overwritten.

    Raises ``ConfigError``: the folder exists, the peer has learned nothing that was included, or its files are damaged;
    ``VerificationError`` when the state is not the one that it is filed under.
    """
    from swarm.settings.joining import read_join_file

    if to.exists():
        raise ConfigError(f"{to} exists already.", NOTHING, "Name another place.")
    token = read_join_file(Home(chosen.home).join_file)
    peer = Home(chosen.home).peer(name)
    states = Checkpoints(peer.run(token.run.id).states)
    head = states.head()
    if head is None:
        raise ConfigError(
            f"Peer {name} has no included state of the run {token.run.name} yet.", NOTHING, "Let it finish a round."
        )
    record = _record(token, peer.events_file, head.state, head.round)
    to.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".exporting-", dir=to.parent))
    try:
        _write(chosen, token, states, record, made, is_merged=is_merged)
        made.chmod(0o755)
        made.rename(to)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return record


def _write(
    chosen: Settings, token: JoinToken, states: Checkpoints, record: Record, folder: Path, *, is_merged: bool
) -> None:
    from swarm.app.checkup import model_of
    from swarm.policy.native import NativeEngine
    from swarm.policy.publish import save_adapters, save_merged

    base, learn = model_of(chosen, token), token.run.learn
    engine = NativeEngine.open(base, msgspec.structs.replace(learn, beta_nano=0))
    if engine.state_hash() != token.run.model:
        raise ConfigError(
            f"The model {base} is not the one that this run started from.", NOTHING, "Name the right one with --model."
        )
    states.restore(engine, record.state)
    if engine.state_hash() != record.state:
        raise VerificationError("The state is not the one that it is filed under.", NOTHING, "Restore a backup.")
    if is_merged or not learn.lora_rank:
        save_merged(engine.loaded, folder)
    else:
        save_adapters(engine.loaded, folder, rank=learn.lora_rank, base=base)
    (folder / "record.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    (folder / "README.md").write_text(card(record, is_merged=is_merged or not learn.lora_rank))


def _record(token: JoinToken, events_file: Path, state: ContentId, round_number: int) -> Record:
    from swarm.observe.store import Store

    store = Store(events_file)
    try:
        store.refresh()
        me = store.row("SELECT peer FROM self")
        own = "SELECT content FROM contributions WHERE own = 1"
        audits = store.rows(
            f"SELECT * FROM audits WHERE content IN ({own}) AND round <= ? ORDER BY round", round_number
        )
        settled = store.rows(
            f"SELECT round FROM settled WHERE content IN ({own}) AND round <= ? ORDER BY round", round_number
        )
        struck = store.rows(f"SELECT round FROM struck WHERE content IN ({own}) ORDER BY round")
        tests = store.rows("SELECT * FROM evaluations WHERE round <= ? ORDER BY round", round_number)
        return Record(
            run=token.run.id,
            run_name=token.run.name,
            chain_id=token.run.chain_id,
            genesis=token.run.model,
            model=token.model_name,
            task=token.run.task.name,
            engine=token.run.audit.engine,
            lora_rank=token.run.learn.lora_rank,
            peer=me["peer"] if me is not None and me["peer"] else "",
            state=state,
            round=round_number,
            settled=tuple(row["round"] for row in settled),
            struck=tuple(row["round"] for row in struck),
            audits=tuple(
                Judged(row["round"], row["content"], row["by"], row["level"], row["finding"]) for row in audits
            ),
            accuracy=tuple((row["round"], row["num_correct"], row["num_questions"]) for row in tests),
        )
    finally:
        store.close()


def card(record: Record, *, is_merged: bool) -> str:
    """The model card, in Markdown with the hub's header."""
    base = "" if record.model in ("tiny", "auto") or record.model.startswith(("/", ".", "~")) else record.model
    head = ["---", "library_name: " + ("transformers" if is_merged else "peft"), "pipeline_tag: text-generation"]
    head += [f"base_model: {json.dumps(base)}"] if base else []
    head += ["tags:", "- rl-swarm", "- grpo", "---"]
    kind = "All weights, in float32" if is_merged else f"Adapters (LoRA, rank {record.lora_rank}), in float32"
    first, last = (record.accuracy[0], record.accuracy[-1]) if record.accuracy else (None, None)
    lines = [
        f"# {Path(record.model).name or record.model}, trained in the swarm {record.run_name}",
        "",
        f"{kind}, learned by reinforcement (GRPO) among peers that read and check each other's work.",
        "",
        "| | |",
        "|---|---|",
        f"| run | `{record.run}` on chain {record.chain_id} |",
        f"| task | {record.task} |",
        f"| first state | `{record.genesis}` |",
        f"| this state | `{record.state}` |",
        f"| included in round | {record.round} |",
        f"| trained by | `{record.peer}` |",
        f"| arithmetic | {record.engine} |",
        f"| recorded rounds | {_ranges(record.settled)} |",
    ]
    if record.struck:
        lines.append(f"| refused work | rounds {_ranges(record.struck)} |")
    if first is not None and last is not None and first[2] and last[2]:
        before, after = (100 * one[1] / one[2] for one in (first, last))
        lines.append(
            f"| held-out accuracy | {before:.1f} % before (round {first[0]}), {after:.1f} % after round {last[0]} |"
        )
    lines += ["", "## Who checked it", ""]
    if record.audits:
        lines += ["| round | contribution | checked by | level | found |", "|---|---|---|---|---|"]
        lines += [f"| {a.round} | `{a.contribution}` | `{a.by}` | {a.level} | {a.finding} |" for a in record.audits]
        lines += [
            "",
            "Level 0: scores; 1: sampled completions drawn again; 2: the training step done again, bit by bit.",
        ]
    else:
        lines.append("Nobody did any of this work again, as far as this peer saw.")
    lines += [
        "",
        "`record.json` holds the same for programs. Random weights learn nothing: judge it by your own questions.",
        "",
    ]
    return "\n".join(lines)


def _ranges(numbers: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in runs) or "none"


def told(to: Path, record: Record, *, pushed: str, as_json: bool) -> None:
    """Say on stdout what was written, and where it was pushed."""
    if as_json:
        body: dict[str, Any] = {"to": str(to), "state": record.state, "round": record.round, "pushed": pushed or None}
        print(json.dumps({"export_model": body | {"files": sorted(one.name for one in to.iterdir())}}), flush=True)
        return
    print(f"Wrote the state {record.state[:16]}… of round {record.round} to {to}; its README.md says where it is from.")
    if pushed:
        print(f"Pushed to {pushed}.")
