"""Fixtures of the in-process nodes."""

from tests.net.conftest import *  # noqa: F403
