"""A worker's lease: an epoch that its reservations carry, so that exactly those of dead workers are closed for them."""

from sqlalchemy import Connection, insert, update

from node.adapters.ledger.tables import lease


def take_lease(connection: Connection, worker: str, now: int, seconds: int) -> int:
    """A new epoch. Times in Unix seconds of this machine: workers of one node keep their clocks together (NTP)."""
    row = insert(lease).values(worker=worker, taken_at=now, expires_at=now + seconds).returning(lease.c.id)
    return int(connection.execute(row).scalar_one())


def renew_lease(connection: Connection, epoch: int, now: int, seconds: int) -> bool:
    """Only a lease that has not expired can be renewed: after that others may have closed its reservations."""
    row = update(lease).where(lease.c.id == epoch, lease.c.expires_at > now).values(expires_at=now + seconds)
    return connection.execute(row).rowcount == 1
