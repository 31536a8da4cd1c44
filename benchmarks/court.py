"""Why this module exists: a game is measured, and tested, where it is decided: on a chain, move by move.

A dev chain of its own that mines at once, with one run and two peers' wallets: the accused, and who accuses it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi.abi import encode as encode_abi
from eth_hash.auto import keccak

from benchmarks.gas_bench import ROUND_S, WEI, Bench, Member
from chain.abi import decode_refusal, function
from chain.devchain import DevChain
from chain.games import WHOLE_STEP, GamePhase, GameRecord, GameTerms, game_id
from chain.keys import compact_signature, sign_digest
from chain.rpc import Rpc, RpcRefused
from protocol.ids import ZERO_ROOT, Address, ContentId
from protocol.merkle import MerkleTree
from verde.bisect import calldata, challenger, defender
from verde.bisect.challenger import Evidence
from verde.bisect.game import Dispute, Phase, Side, Terms, open_dispute, play
from verde.bisect.moves import Move
from verde.program.trace import Trace

ROUND = 1
DRAW = 3
"""The draw that a game is about where it is about no step."""

WORK_MARK = b"\xc4\x20"


class Refused(Exception):
    """A contract said no; the error's name."""


@dataclass(frozen=True)
class Made:
    """A move that was made: what it is called, by whom, and what it took."""

    name: str
    side: Side
    gas: int
    num_bytes: int


@dataclass
class Table:
    """A game on the chain, and the same one here."""

    record: GameRecord
    game: Dispute
    made: list[Made]


class Court:
    """One run. ``accused`` is registered and has 10 tokens at stake; ``accuser`` has tokens only."""

    def __init__(self, chain: DevChain, bench: Bench) -> None:
        self._chain = chain
        self.bench = bench
        self.accused = Member.numbered(1)
        self.accuser = Member.numbered(2)
        self._opened = 0

    @classmethod
    async def start(cls, folder: Path) -> Court:
        chain = await DevChain.start(folder, block_time_s=1000)
        node = Rpc([chain.url])
        await node.request("evm_setIntervalMining", 0)
        await node.request("evm_setAutomine", True)
        await node.request("anvil_autoImpersonateAccount", True)
        court = cls(chain, Bench(node, chain.account.address, chain.url))
        await court.bench.deploy()
        for member in (court.accused, court.accuser):
            await node.request("anvil_setBalance", member.signer, hex(WEI))
        await court.bench.join(court.accused)
        # The accused is a member of the first round for good, whatever it loses from now on.
        await court.bench.pass_time(ROUND_S)
        await court.bench.send("advance", court.bench.creator, "RoundClock", "advance", 0)
        await court.bench.send("fund", court.bench.creator, "SwarmToken", "transfer", court.accuser.signer, 10**6 * WEI)
        vault = court.bench.at["StakeVault"]
        await court.bench.send("allow", court.accuser.signer, "SwarmToken", "approve", vault, 10**6 * WEI)
        return court

    async def make_blocks(self, every_s: int) -> None:
        """A block every so many seconds, as a running chain makes them; 0: one for each transaction, at once."""
        await self.bench.node.request("evm_setAutomine", False)
        await self.bench.node.request("evm_setIntervalMining", every_s)
        if not every_s:
            await self.bench.node.request("evm_setAutomine", True)

    async def stop(self) -> None:
        await self.bench.node.close()
        await self._chain.stop()

    async def stake(self) -> None:
        """Give the accused 10 tokens more to lose."""
        bench, accused = self.bench, self.accused
        await bench.send("transfer", bench.creator, "SwarmToken", "transfer", accused.signer, 10 * WEI)
        await bench.send("approve", accused.signer, "SwarmToken", "approve", bench.at["StakeVault"], 10 * WEI)
        await bench.send("stake", accused.signer, "StakeVault", "deposit", accused.key, 10 * WEI, bytes(32))

    async def open(self, terms: Terms) -> Table:
        """Have the accuser open a game about a contribution that commits to ``terms``."""
        self._opened += 1
        arguments, content, subject = await self._opening(terms)
        receipt = await self.bench.transact(
            "open",
            self.accuser.signer,
            self.bench.at["DisputeGame"],
            function("DisputeGame", "open").call_data(*arguments),
        )
        record = GameRecord(
            game=game_id(content, subject, Address(self.accuser.signer)),
            peer=self.accused.peer,
            challenger=Address(self.accuser.signer),
            round=ROUND,
            content=content,
            subject=subject,
            program_root=ContentId(terms.program_root.hex()),
            data_root=terms.data_root,
            state_before=terms.state_before,
            state_after=terms.state_after,
            terms=GameTerms(terms.trace_seconds, terms.move_seconds, 5 * 10**6),
            opened_at=0,
            opened_block=int(receipt["blockNumber"], 16),
            phase=GamePhase.TRACE,
            deadline=terms.trace_seconds,
        )
        opening = Made("open", Side.CHALLENGER, self.bench.gas["open"], 0)
        return Table(record, open_dispute(terms, 0), [opening])

    async def _opening(self, terms: Terms) -> tuple[tuple[Any, ...], ContentId, int]:
        program, data = terms.program_root, bytes.fromhex(terms.data_root)
        before = bytes.fromhex(terms.state_before)
        if terms.state_after is not None:
            subject, draws, after = WHOLE_STEP, bytes.fromhex(ZERO_ROOT), bytes.fromhex(terms.state_after)
            words = (before, after, program, data, draws)
            asked: tuple[Any, ...] = (WHOLE_STEP, bytes(32), bytes(32), [])
        else:
            line = hashlib.sha256(program + data).digest()
            other = hashlib.sha256(b"another draw").digest()
            rows = [(DRAW.to_bytes(32, "big"), line), ((DRAW + 1).to_bytes(32, "big"), other)]
            tree = MerkleTree(rows)
            subject = DRAW
            words = (before, bytes([1] * 32), bytes([2] * 32), bytes([3] * 32), bytes.fromhex(tree.root))
            asked = (DRAW, program, data, [bytes.fromhex(node) for node in tree.proof(*rows[0])])
        work = hashlib.sha256(b"".join(words)).digest()
        contribution = b"contribution %d" % self._opened + WORK_MARK + work
        content = ContentId(hashlib.sha256(contribution).hexdigest())
        run = await self.bench.read("DisputeGame", "RUN_ID")
        digest = await self.bench.read(
            "PeerRegistry", "recordDigest", run, "contribution", ROUND, bytes.fromhex(content)
        )
        signature = compact_signature(sign_digest(self.accused.secret, digest))
        return (self.accused.key, ROUND, contribution, signature, words, asked), content, subject

    async def play(self, table: Table, move: Move) -> None:
        """Make a move on the chain, and here; the states must be the same after it."""
        game = table.game
        side = game.phase.turn
        assert side is not None
        name, _, _ = calldata.shown_by(game, move)
        call = calldata.encode(table.record, game, move)
        await self._transact(name, side, call)
        table.game = play(game, side, move, 0)
        table.made.append(Made(str(name), side, self.bench.gas[name], len(call)))
        there = await self.bench.read("DisputeGame", "stateHash", bytes.fromhex(table.record.game))
        assert there == self.hash_here(table), name

    async def try_call(self, side: Side, call: bytes) -> str:
        """The name of the error with which a call is refused; empty where it would be taken. Nothing is sent."""
        message = {"from": self._wallet(side), "to": self.bench.at["DisputeGame"], "data": "0x" + call.hex()}
        try:
            await self.bench.node.request("eth_call", message, "latest")
        except RpcRefused as refused:
            refusal = decode_refusal(refused.data)
            return refusal.name if refusal is not None else refused.what
        return ""

    @staticmethod
    def hash_here(table: Table) -> bytes:
        """What the contract's ``stateHash`` must be."""
        if table.game.phase is Phase.OVER:
            return bytes(32)
        state_type = function("DisputeGame", "expire").inputs[1]
        return keccak(encode_abi([state_type], [calldata.state_of(table.record, table.game)]))

    async def play_out(self, terms: Terms, accused: Trace, evidence: Evidence) -> Table:
        """A whole game between two traces."""
        table = await self.open(terms)
        while table.game.phase is not Phase.OVER:
            is_defenders = table.game.phase.turn is Side.DEFENDER
            move: Move = (
                defender.answer(accused, table.game) if is_defenders else challenger.answer(evidence, table.game)
            )
            await self.play(table, move)
        return table

    async def winner(self, table: Table) -> Side | None:
        """What the contract says."""
        *_, is_over, challenger_won = await self.bench.read("DisputeGame", "status", bytes.fromhex(table.record.game))
        if not is_over:
            return None
        return Side.CHALLENGER if challenger_won else Side.DEFENDER

    def _wallet(self, side: Side) -> str:
        return (self.accused if side is Side.DEFENDER else self.accuser).signer

    async def _transact(self, name: str, side: Side, call: bytes) -> None:
        try:
            await self.bench.transact(name, self._wallet(side), self.bench.at["DisputeGame"], "0x" + call.hex())
        except RpcRefused as refused:
            refusal = decode_refusal(refused.data)
            raise Refused(refusal.name if refusal is not None else refused.what) from refused
