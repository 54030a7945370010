from __future__ import annotations

import pytest

from purify.config import IngestConfig


@pytest.fixture
def config() -> IngestConfig:
    return IngestConfig(workers=2)
