"""A source into the manifest of a run, again and again, without the flow."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from purify.config import PurifyConfig
from purify.errors import InputError
from purify.pipeline.refresh_manifest import refresh_manifest, take_table
from purify.pipeline.update_log import finish_update, note_changes, read_update
from purify.storage.files import read_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import MANIFEST

CONFIG = PurifyConfig()


def _picture(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


WriteTar = Callable[[Path, Mapping[str, bytes]], Path]


def _finished(run: RunFolder) -> tuple[int, int, int]:
    note_changes(run)
    finish_update(run)
    update = read_update(run)
    assert update is not None
    return update.new, update.changed, update.gone


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def test_a_tar_that_was_written_anew(run: RunFolder, tmp_path: Path, write_tar: WriteTar) -> None:
    files = {f"A/{k}.png": _picture(k) for k in range(5)}
    source = write_tar(tmp_path / "set.tar", files)
    assert refresh_manifest(run, source, [], CONFIG)
    assert _finished(run) == (5, 0, 0)
    assert not refresh_manifest(run, source, [], CONFIG)
    del files["A/1.png"]
    write_tar(source, files | {"A/0.png": _picture(10), "B/0.png": _picture(11), "B/1.png": _picture(12)})
    assert refresh_manifest(run, source, [], CONFIG)
    assert _finished(run) == (2, 1, 1)
    ids = read_table(run.manifest, MANIFEST)["sample_id"].to_pylist()
    assert ids == ["A/0.png", "A/2.png", "A/3.png", "A/4.png", "B/0.png", "B/1.png"]


def test_what_a_cut_off_update_took_in_counts_as_new(run: RunFolder, tmp_path: Path, write_tar: WriteTar) -> None:
    """The source grows again before the update is finished: it tells of both."""
    files = {f"A/{k}.png": _picture(k) for k in range(5)}
    source = write_tar(tmp_path / "set.tar", files)
    refresh_manifest(run, source, [], CONFIG)
    _finished(run)
    for k in (5, 6):
        files[f"A/{k}.png"] = _picture(k)
        write_tar(source, files)
        assert refresh_manifest(run, source, [], CONFIG)
    assert _finished(run) == (2, 0, 0)


def test_a_table_without_its_images(run: RunFolder, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("path,label\na,A\nb,A\nc,B\n")
    assert take_table(run, table, CONFIG)
    assert _finished(run) == (3, 0, 0)
    assert not take_table(run, table, CONFIG)
    table.write_text("path,label\nd,B\nb,B\na,A\n")
    assert take_table(run, table, CONFIG)
    assert _finished(run) == (1, 1, 1)


def test_other_limits_are_a_reason_to_look_at_every_image(run: RunFolder, tmp_path: Path, write_tar: WriteTar) -> None:
    source = write_tar(tmp_path / "set.tar", {f"A/{k}.png": _picture(k) for k in range(3)})
    refresh_manifest(run, source, [], CONFIG)
    stricter = CONFIG.model_copy(update={"ingest": CONFIG.ingest.model_copy(update={"min_size": 25})})
    with pytest.raises(InputError, match="none of its 3 images can be used"):
        refresh_manifest(run, source, [], stricter)


@pytest.mark.parametrize(("most_lost", "refused"), [(0.5, True), (0.7, False)])
def test_a_loss_is_refused_beyond_the_limit(
    run: RunFolder, tmp_path: Path, write_tar: WriteTar, most_lost: float, refused: bool
) -> None:
    files = {f"A/{k}.png": _picture(k) for k in range(6)}
    source = write_tar(tmp_path / "set.tar", files)
    config = CONFIG.model_copy(update={"grow": CONFIG.grow.model_copy(update={"most_lost": most_lost})})
    refresh_manifest(run, source, [], config)
    _finished(run)
    before = run.manifest.read_bytes()
    write_tar(source, {name: b"" if name < "A/4" else content for name, content in files.items()})
    if refused:
        with pytest.raises(InputError, match="4 of the 6 usable images"):
            refresh_manifest(run, source, [], config)
        assert run.manifest.read_bytes() == before
    else:
        assert refresh_manifest(run, source, [], config)
        assert _finished(run) == (0, 4, 0)
