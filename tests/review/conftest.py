from __future__ import annotations

from pathlib import Path

import pytest

from purify.storage.run_folder import RunFolder
from tests.review.small_run import build_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return build_run(tmp_path)
