from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from purify.errors import InputError
from purify.faces import packaged_models
from purify.faces.packaged_models import faces_installed, packaged_model

LANDMARKS = "shape_predictor_5_face_landmarks.dat"


@pytest.fixture(autouse=True)
def _forget() -> None:
    packaged_model.cache_clear()


def _package_at(folder: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = None if folder is None else SimpleNamespace(origin=str(folder / "__init__.py"))
    monkeypatch.setattr(packaged_models, "find_spec", lambda name: spec)


@pytest.mark.skipif(find_spec("face_recognition_models") is None, reason="the extra faces is not installed")
def test_a_packaged_file_is_found_by_its_name() -> None:
    assert packaged_model(LANDMARKS).name == LANDMARKS
    assert packaged_model(LANDMARKS).stat().st_size == 9_150_489


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    _package_at(None, monkeypatch)
    assert not faces_installed()
    with pytest.raises(InputError, match=r"pip install 'purify\[faces\]'"):
        packaged_model(LANDMARKS)


def test_another_file_under_the_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _package_at(tmp_path, monkeypatch)
    with pytest.raises(InputError, match="missing from the installed package"):
        packaged_model(LANDMARKS)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / LANDMARKS).write_bytes(b"other weights")
    with pytest.raises(InputError, match="SHA-256 differs"):
        packaged_model(LANDMARKS)
