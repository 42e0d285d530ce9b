"""Brings a wallet file to the newest schema with the migrations that people can read and run by hand, too."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from node.client.tables import metadata
from node.core.errors import BadConfig

_HERE = Path(__file__).resolve()
_PLACES = (_HERE.parents[1] / "migrations", _HERE.parents[2] / "migrations")
"""In an installed package the migrations lie inside it, in a checkout beside it."""


def migrate(connection: Connection) -> None:
    """Upgrade to head inside the caller's transaction. Raises BadConfig when the installation lacks its migrations."""
    folder = next((place for place in _PLACES if (place / "env.py").is_file()), None)
    if folder is None:
        raise BadConfig("this installation has no migrations folder: install wwwserve again")
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("version_locations", str(folder / "wallet" / "versions"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    command.upgrade(config, "head")
