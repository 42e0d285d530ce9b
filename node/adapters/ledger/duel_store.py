"""This node's own part in duels: cases it dispatches, evidence it holds, votes it will reveal, its seeds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, select, union_all

from node.adapters.ledger.duel_tables import duel_canary as canaries
from node.adapters.ledger.duel_tables import duel_case as cases
from node.adapters.ledger.duel_tables import duel_evidence as held
from node.adapters.ledger.duel_tables import duel_seed as seeds
from node.adapters.ledger.duel_tables import duel_vote as votes
from node.adapters.ledger.store import Store
from node.adapters.ledger.upsert import add_missing
from node.core.answers import SignedAnswer, answer_from_json
from node.core.duels import Vote
from node.core.types import Amount, Bytes32, Seconds
from node.ports.duels import KeptCase, KeptVote


class SqlDuelStore:
    """ports.duels.DuelStore."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep_case(self, case: KeptCase) -> None:
        """See ports.duels.DuelStore."""
        row = {
            "duel_id": case.duel,
            "epoch": case.epoch,
            "attempt": case.attempt,
            "fee": case.fee,
            "first": _text(case.first),
            "second": _text(case.second),
            "evidence": case.evidence,
            "made_at": case.made_at,
        }
        await self._store.write_with(add_missing, cases, [row])

    async def load_case(self, duel: Bytes32) -> KeptCase | None:
        """See ports.duels.DuelStore."""
        found = await self._store.read_with(_cases, duel)
        return found[0] if found else None

    async def load_cases(self) -> Sequence[KeptCase]:
        """See ports.duels.DuelStore."""
        return await self._store.read_with(_cases)

    async def drop_case(self, duel: Bytes32) -> None:
        """See ports.duels.DuelStore."""
        await self._store.write_with(_drop, cases, duel)

    async def keep_evidence(self, duel: Bytes32, evidence: bytes, at: Seconds) -> None:
        """See ports.duels.DuelStore."""
        await self._store.write_with(add_missing, held, [{"duel_id": duel, "evidence": evidence, "kept_at": at}])

    async def load_evidence(self, duel: Bytes32) -> bytes | None:
        """See ports.duels.DuelStore."""
        return await self._store.read_with(_evidence, duel)

    async def load_held(self) -> Mapping[Bytes32, Seconds]:
        """See ports.duels.DuelStore."""
        return await self._store.read_with(_held)

    async def drop_evidence(self, duel: Bytes32) -> None:
        """See ports.duels.DuelStore."""
        await self._store.write_with(_drop, held, duel)

    async def keep_votes(self, duel: Bytes32, kept: Sequence[KeptVote]) -> None:
        """See ports.duels.DuelStore."""
        rows = [
            {"duel_id": duel, "seat": one.seat, "vote": int(one.vote), "salt": one.salt, "rationale": one.rationale}
            for one in kept
        ]
        await self._store.write_with(add_missing, votes, rows)

    async def load_votes(self, duel: Bytes32) -> Mapping[int, KeptVote]:
        """See ports.duels.DuelStore."""
        return await self._store.read_with(_votes, duel)

    async def keep_canary(self, duel: Bytes32, verdict: Vote) -> None:
        """See ports.duels.DuelStore."""
        await self._store.write_with(add_missing, canaries, [{"duel_id": duel, "verdict": int(verdict)}])

    async def load_canary(self, duel: Bytes32) -> Vote | None:
        """See ports.duels.DuelStore."""
        return await self._store.read_with(_canary, duel)

    async def keep_seed(self, epoch: int, seed: Bytes32) -> Bytes32:
        """See ports.duels.DuelStore."""
        return await self._store.write_with(_keep_seed, epoch, seed)

    async def load_seed(self, epoch: int) -> Bytes32 | None:
        """See ports.duels.DuelStore."""
        return await self._store.read_with(_seed, epoch)


def _text(signed: SignedAnswer) -> str:
    return json.dumps(signed.to_json())


def _cases(connection: Connection, duel: Bytes32 | None = None) -> list[KeptCase]:
    wanted = select(cases).order_by(cases.c.made_at)
    if duel is not None:
        wanted = wanted.where(cases.c.duel_id == duel)
    return [_case_of(row) for row in connection.execute(wanted)]


def _case_of(row: Row[Any]) -> KeptCase:
    sides = [answer_from_json(json.loads(text)) for text in (row.first, row.second)]
    about = (Bytes32(row.duel_id), row.epoch, row.attempt, Amount(row.fee))
    return KeptCase(*about, sides[0], sides[1], row.evidence, Seconds(row.made_at))


def _drop(connection: Connection, table: Table, duel: Bytes32) -> None:
    connection.execute(delete(table).where(table.c.duel_id == duel))


def _evidence(connection: Connection, duel: Bytes32) -> bytes | None:
    wanted = [select(table.c.evidence).where(table.c.duel_id == duel) for table in (cases, held)]
    found: bytes | None = connection.execute(union_all(*wanted)).scalar()
    return found


def _held(connection: Connection) -> dict[Bytes32, Seconds]:
    rows = connection.execute(select(held.c.duel_id, held.c.kept_at))
    return {Bytes32(row.duel_id): Seconds(row.kept_at) for row in rows}


def _votes(connection: Connection, duel: Bytes32) -> dict[int, KeptVote]:
    rows = connection.execute(select(votes).where(votes.c.duel_id == duel))
    return {row.seat: KeptVote(row.seat, Vote(row.vote), Bytes32(row.salt), row.rationale) for row in rows}


def _canary(connection: Connection, duel: Bytes32) -> Vote | None:
    found = connection.execute(select(canaries.c.verdict).where(canaries.c.duel_id == duel)).scalar()
    return None if found is None else Vote(found)


def _keep_seed(connection: Connection, epoch: int, seed: Bytes32) -> Bytes32:
    add_missing(connection, seeds, [{"epoch": epoch, "seed": seed}])
    return _seed(connection, epoch) or seed


def _seed(connection: Connection, epoch: int) -> Bytes32 | None:
    found = connection.execute(select(seeds.c.seed).where(seeds.c.epoch == epoch)).scalar()
    return None if found is None else Bytes32(found)
