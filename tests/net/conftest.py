"""The tokenizer of the stub engines, made once a session."""

from pathlib import Path

import pytest

from tests.fakes.tiny_tokenizer import build


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tokens"))
