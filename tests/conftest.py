"""Shared by all suites: a folder's name is its marker, and unit tests may not open sockets."""

from pathlib import Path

import pytest
from pytest_socket import disable_socket

from tests.integration.engine_fixtures import real_base_engine, real_tiny_engine  # noqa: F401 - fixtures

HERE = Path(__file__).parent
FOLDER_MARKS = ("unit", "property", "integration", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in FOLDER_MARKS:
            item.add_marker(getattr(pytest.mark, folder))


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("unit") and not request.node.get_closest_marker("loopback"):
        disable_socket(allow_unix_socket=True)
