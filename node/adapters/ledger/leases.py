"""A worker's lease: an epoch that its reservations carry, so that exactly those of dead workers are closed by others."""

from sqlalchemy import Engine, insert, update

from node.adapters.ledger.schema import for_writing
from node.adapters.ledger.tables import lease


def take_lease(engine: Engine, worker: str, now: int, seconds: int) -> int:
    """A new epoch. Times in Unix seconds of this machine: workers of one node keep their clocks together (NTP)."""
    row = insert(lease).values(worker=worker, taken_at=now, expires_at=now + seconds).returning(lease.c.id)
    with for_writing(engine).begin() as connection:
        return int(connection.execute(row).scalar_one())


def renew_lease(engine: Engine, epoch: int, now: int, seconds: int) -> bool:
    """Only a lease that has not expired can be renewed: after that others may have closed its reservations."""
    row = update(lease).where(lease.c.id == epoch, lease.c.expires_at > now).values(expires_at=now + seconds)
    with for_writing(engine).begin() as connection:
        return connection.execute(row).rowcount == 1
