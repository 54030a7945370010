from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from purify.errors import InputError
from purify.images.decoding import decode_rgb
from purify.images.loading import ImageLoader

COUNT, SIZE = 40, 16


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i:02d}.png" for i in range(COUNT)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    return paths


def _loader(paths: list[Path], **options: Any) -> ImageLoader:
    return ImageLoader([path.name for path in paths], [path.as_uri() for path in paths], size=SIZE, **options)


def _pixels(paths: list[Path]) -> np.ndarray:
    return np.stack([decode_rgb(path.read_bytes(), SIZE).transpose(2, 0, 1) for path in paths])


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch", [1, 7, 40])
@pytest.mark.parametrize("cached", [0, 5, COUNT])
def test_pixels_are_those_of_the_rows_in_order(pictures: list[Path], workers: int, batch: int, cached: int) -> None:
    order = np.random.default_rng(1).permutation(np.tile(np.arange(COUNT), 2))
    batches = [order[i : i + batch] for i in range(0, len(order), batch)]
    with _loader(pictures, workers=workers, cache_bytes=cached * 3 * SIZE * SIZE) as loader:
        got = list(loader.batches(iter(batches)))
    expected = _pixels(pictures)
    for (rows, pixels), wanted in zip(got, batches, strict=True):
        np.testing.assert_array_equal(rows, wanted)
        np.testing.assert_array_equal(pixels, expected[wanted])


def test_what_is_kept_is_not_read_again(pictures: list[Path]) -> None:
    expected, kept = _pixels(pictures), 25
    with _loader(pictures, cache_bytes=kept * 3 * SIZE * SIZE + 1) as loader:
        list(loader.batches([np.arange(COUNT)]))
        for path in pictures:
            path.unlink()
        for _ in range(2):
            ((_, pixels),) = loader.batches([np.arange(kept)])
            np.testing.assert_array_equal(pixels, expected[:kept])
            pixels[:] = 0  # a batch is the caller's own
        with pytest.raises(InputError, match=rf"{kept}\.png: readable at ingest"):
            list(loader.batches([np.arange(kept + 1)]))


def test_batches_are_prepared_in_order_beside_the_caller(pictures: list[Path]) -> None:
    seen: list[tuple[int, int, str]] = []

    def prepare(number: int, rows: np.ndarray, pixels: np.ndarray) -> float:
        seen.append((number, int(rows[0]), threading.current_thread().name))
        return float(pixels.mean())

    batches = [np.arange(k, k + 4) for k in range(0, COUNT, 4)]
    with _loader(pictures, workers=2) as loader:
        means = [mean for _, mean in loader.prepared(batches, prepare)]
    assert [(number, row) for number, row, _ in seen] == [(k, 4 * k) for k in range(COUNT // 4)]
    assert {name for *_, name in seen}.isdisjoint({threading.current_thread().name})
    np.testing.assert_allclose(means, [_pixels(pictures[k : k + 4]).mean() for k in range(0, COUNT, 4)])


def test_only_a_few_batches_are_read_in_advance(pictures: list[Path]) -> None:
    taken = []

    def endless() -> object:
        while True:
            taken.append(len(taken))
            yield np.arange(3)

    with _loader(pictures) as loader:
        stream = loader.batches(endless())
        for _ in range(5):
            next(stream)
        stream.close()
    assert 5 < len(taken) < 12


def test_an_error_of_the_preparation_arrives(pictures: list[Path]) -> None:
    def prepare(number: int, rows: np.ndarray, pixels: np.ndarray) -> None:
        raise ArithmeticError(number)

    with _loader(pictures) as loader, pytest.raises(ArithmeticError):
        list(loader.prepared([np.arange(2)] * 9, prepare))


def test_bytes_that_ingest_found_whole_are_not_examined_again(tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.{form}" for k, form in enumerate(("jpg", "png", "webp"))]
    for path in paths:
        Image.fromarray(np.random.default_rng(3).integers(0, 256, (60, 50, 3), dtype=np.uint8)).save(path)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(paths[0].read_bytes()[:-900] + b"\xff\xd9")  # gray from there on, which the decoder doesn't tell
    paths.append(cut)
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    with _loader(paths, contents=contents) as loader:
        ((_, pixels),) = loader.batches([np.arange(4)])
    np.testing.assert_array_equal(pixels[:3], _pixels(paths[:3]))
    with (
        _loader(paths, contents=[*contents[:3], None]) as loader,
        pytest.raises(InputError, match=r"cut\.jpg: readable"),
    ):
        list(loader.batches([np.arange(4)]))
    with _loader(paths, contents=contents[::-1]) as loader, pytest.raises(InputError, match="another image than"):
        list(loader.batches([np.arange(4)]))
