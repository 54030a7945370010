from __future__ import annotations

from pathlib import Path

import pytest

from purify.storage.run_folder import RunFolder
from purify_demo.small_run import run_to_look_at


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """What the notebooks make where there is no run yet."""
    place = tmp_path_factory.mktemp("repository") / "notebooks"
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        folder = run_to_look_at(None).resolve()
        assert run_to_look_at(None).resolve() == folder
    assert folder == place.parent / "runs" / "demo-small"
    return RunFolder(folder)


@pytest.fixture(scope="session")
def notebooks() -> list[Path]:
    return sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
