"""Runs the migrations of one database (ledger or wallet) on a connection given by the program, else on DATABASE_URL."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine

config = context.config


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=config.attributes.get("metadata"),
        transactional_ddl=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


given = config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = create_engine(os.environ["DATABASE_URL"])
    with engine.begin() as own:
        run(own)
    engine.dispose()
