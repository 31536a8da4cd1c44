"""Why this module exists: requests for withheld data on the simulated chain, with the rules of ``DataRequests``."""

from __future__ import annotations

import hashlib

import msgspec

from chain.base import AskForData, ExpireRequest, ShowData
from chain.fake.ground import Ground, is_proved, refuse
from chain.fake.registry import Registry
from chain.fake.roster import Roster
from chain.fake.vault import Vault
from chain.keys import peer_key
from chain.requests import BOND_MICRO, MAX_OPEN, DataPart, RequestRecord, RequestStage, request_id
from chain.typed_data import record_digest
from protocol.ids import ZERO_ROOT, Address, ContentId, PeerId

replace = msgspec.structs.replace


class DataRequests:
    """All requests. ``first_state``: root of the state that the run began with."""

    def __init__(self, ground: Ground, registry: Registry, roster: Roster, vault: Vault) -> None:
        self._ground = ground
        self._registry = registry
        self._roster = roster
        self._vault = vault
        self._records: dict[ContentId, RequestRecord] = {}
        self._roots: dict[ContentId, ContentId] = {}
        self.first_state: ContentId = ZERO_ROOT

    async def requests(self, since_block: int = 0) -> tuple[RequestRecord, ...]:
        return tuple(record for record in self._records.values() if record.opened_block >= since_block)

    async def answer_s(self) -> int:
        return self._ground.rules.move_s

    def is_there(self, request: ContentId) -> bool:
        return request in self._records

    def is_over(self, request: ContentId) -> bool:
        return request in self._records and self._records[request].stage is not RequestStage.OPEN

    def is_withheld(self, request: ContentId) -> bool:
        return request in self._records and self._records[request].stage is RequestStage.WITHHELD

    def num_open(self, peer: PeerId) -> int:
        return sum(one.peer == peer and one.stage is RequestStage.OPEN for one in self._records.values())

    def ask(self, wallet: Address, intent: AskForData) -> None:
        ground, part = self._ground, DataPart(intent.part)
        content = ContentId(hashlib.sha256(intent.contribution).hexdigest())
        digest = record_digest(ground.contracts, ground.run, "contribution", intent.round, content)
        self._roster.require_signed(intent.peer, intent.round, digest, intent.signature)
        if self._roster.round > intent.round + 1:
            refuse("RoundTooOld", round=intent.round, current=self._roster.round)
        request = request_id(content, part, intent.index)
        if request in self._records:
            refuse("RequestExists", id=request)
        if self.num_open(intent.peer) >= MAX_OPEN:
            refuse("TooManyRequests", peerKey=peer_key(intent.peer))
        self._roots[request] = self._root_of(intent, part)
        ground.take(wallet, BOND_MICRO)
        self._records[request] = RequestRecord(
            request=request,
            peer=intent.peer,
            round=intent.round,
            content=content,
            part=part,
            index=intent.index,
            asker=wallet,
            answer_by=ground.now + ground.rules.move_s,
            stage=RequestStage.OPEN,
            opened_block=ground.block + 1,
        )
        self._vault.hold_stake(intent.peer, 1)

    def show(self, intent: ShowData) -> None:
        record = self._open(intent.request)
        if self._ground.now >= record.answer_by:
            refuse("TooLate", until=record.answer_by)
        key, value = record.index, hashlib.sha256(intent.data).digest()
        if record.part is not DataPart.ROLLOUT:
            key, value = key + 1, hashlib.sha256(value + bytes.fromhex(intent.pieces)).digest()
        number = int.from_bytes(value, "big")
        if not is_proved(self._roots[intent.request], key.to_bytes(32, "big"), number, intent.proof):
            refuse("PieceRejected", id=intent.request)
        self._close(record, RequestStage.SHOWN)

    def expire(self, intent: ExpireRequest) -> None:
        record = self._open(intent.request)
        if self._ground.now < record.answer_by:
            refuse("TooEarly", until=record.answer_by)
        self._close(record, RequestStage.WITHHELD)
        self._vault.take_all(record.peer, record.asker)
        self._roster.eject(record.peer, self._roster.round + self._ground.rules.barred_rounds)
        self._ground.pay(record.asker, BOND_MICRO)

    def _open(self, request: ContentId) -> RequestRecord:
        record = self._records.get(request)
        if record is None or record.stage is not RequestStage.OPEN:
            refuse("RequestNotOpen", id=request)
        return record

    def _close(self, record: RequestRecord, stage: RequestStage) -> None:
        self._records[record.request] = replace(record, stage=stage)
        self._vault.hold_stake(record.peer, -1)

    def _root_of(self, intent: AskForData, part: DataPart) -> ContentId:
        try:
            said = msgspec.msgpack.decode(intent.contribution)
            root = {
                DataPart.STATE_BEFORE: said["state_before"],
                DataPart.STATE_AFTER: said["state_after"],
                DataPart.ROLLOUT: said["rollouts_root"],
            }[part]
            num_rollouts, found = len(said["scores_milli"]), (said["before"], said["after"])
        except (msgspec.DecodeError, KeyError, TypeError):
            refuse("ContributionMalformed")
        if not all(_is_hash(said[name]) for name in ("state_before", "state_after", "rollouts_root")):
            refuse("ContributionMalformed")
        if part is DataPart.ROLLOUT:
            is_there = intent.index < num_rollouts
        else:
            key, line = (1 + intent.index).to_bytes(32, "big"), int(intent.line, 16)
            is_there = found[part] is not None and is_proved(self.first_state, key, line, intent.proof)
        if not is_there:
            refuse("NoSuchPiece")
        return ContentId(root)


def _is_hash(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")
