"""Cost of a door: images per second of an ingest, compared with reading the bytes, hashing and decoding them alone.

``python -m benchmarks.doors`` draws a set, writes it in every form that it can, and measures each in a process of its
own, by turns with the comparisons: Pillow in as many threads, without hashes and with them, and in as many processes,
whose start isn't counted. ``--source PATH`` adds a set in any other form, such as a ``train.rec``.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from rich.console import Console
from rich.table import Table

from purify.storage.recordio import ImageRecord, frame, index_line, pack_image

_SIDE, _PER_LABEL, _SHARD = 112, 20, 10_000
_CHUNK = 64
_PICTURES = 2_000
#: Comparison -> its name in the table.
_COMPARISONS = {
    "decode": "bytes and decoding",
    "hash": "bytes, hashes and decoding",
    "processes": "the same in processes",
}


def _images(count: int, seed: int, side: int = _SIDE) -> Iterator[tuple[str, str, bytes]]:
    """Label, name and JPEG of each image: smooth random surfaces of about the size of a face crop.

    Pictures repeat after `_PICTURES`; a comment in each file keeps the bytes different.
    """
    random = np.random.default_rng(seed)
    pictures: list[bytes] = []
    for number in range(count):
        if number < _PICTURES:
            coarse = Image.fromarray(random.integers(0, 256, (14, 14, 3), dtype=np.uint8))
            stream = io.BytesIO()
            coarse.resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=95)
            pictures.append(stream.getvalue())
        picture = pictures[number % _PICTURES]
        comment = b"\xff\xfe\x00\x0a" + f"{number:08d}".encode()
        yield f"p{number // _PER_LABEL:06d}", f"{number:07d}.jpg", picture[:2] + comment + picture[2:]


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _write_tar(path: Path, images: Iterator[tuple[str, str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for label, name, content in images:
            _add(archive, f"{label}/{name}", content)


def _write_zip(path: Path, images: Iterator[tuple[str, str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for label, name, content in images:
            archive.writestr(f"{label}/{name}", content)


def _write_folder(path: Path, images: Iterator[tuple[str, str, bytes]]) -> None:
    for label, name, content in images:
        (path / label).mkdir(parents=True, exist_ok=True)
        (path / label / name).write_bytes(content)


def _write_webdataset(path: Path, images: Iterator[tuple[str, str, bytes]]) -> None:
    path.mkdir()
    archive: tarfile.TarFile | None = None
    for number, (label, name, content) in enumerate(images):
        if number % _SHARD == 0:
            if archive:
                archive.close()
            archive = tarfile.open(path / f"shard-{number // _SHARD:05d}.tar", "w")  # noqa: SIM115
        assert archive is not None
        _add(archive, name, content)
        _add(archive, f"{name[:-4]}.cls", str(int(label[1:])).encode())
    if archive:
        archive.close()


def _write_rec(path: Path, images: Iterator[tuple[str, str, bytes]]) -> None:
    offset, lines = 0, []
    with path.open("wb") as file:
        for number, (label, _, content) in enumerate(images):
            lines.append(index_line(number, offset))
            offset += file.write(frame(pack_image(ImageRecord((float(label[1:]),), number, content))))
    path.with_suffix(".idx").write_text("".join(lines), encoding="utf-8")


def _write_parquet(path: Path, images: Iterator[tuple[str, str, bytes]]) -> None:
    """One row group of everything, the largest that a reader meets."""
    labels, contents = zip(*((label, content) for label, _, content in images), strict=True)
    pq.write_table(pa.table({"image": contents, "label": labels}), path, row_group_size=len(labels))


_WRITERS: Mapping[str, Callable[[Path, Iterator[tuple[str, str, bytes]]], None]] = {
    "set.tar": _write_tar,
    "set.zip": _write_zip,
    "folder": _write_folder,
    "webdataset": _write_webdataset,
    "train.rec": _write_rec,
    "set.parquet": _write_parquet,
}


def _measure(source: Path, threads: int, *, plain: str | None) -> dict[str, float]:
    """Seconds and images of one ingest, or of a comparison, and the growth of the memory meanwhile."""
    with _plain(source, threads, plain) if plain else _ingest(source, threads) as run:
        before = _peak()
        began, cpu = time.perf_counter(), _cpu_seconds()
        count = run()
        seconds, grown = time.perf_counter() - began, _peak() - before
    return {"seconds": seconds, "cpu": _cpu_seconds() - cpu, "images": count, "megabytes": grown}


@contextmanager
def _ingest(source: Path, threads: int) -> Iterator[Callable[[], int]]:
    """An ingest into a file; its code is loaded before the memory is measured."""
    from purify.config import IngestConfig
    from purify.ingest.ingest import ingest_file

    config = IngestConfig(workers=threads)
    with tempfile.TemporaryDirectory() as folder:
        few, manifest = Path(folder) / "few", Path(folder) / "manifest.parquet"
        _write_folder(few, _images(2, 0))
        ingest_file(few, [], config, manifest)
        yield lambda: sum(ingest_file(source, [], config, manifest).counts.values())


@contextmanager
def _plain(source: Path, threads: int, how: str) -> Iterator[Callable[[], int]]:
    """Reading, hashing and decoding of a tar's members, in threads or in processes that have started before."""
    from purify.storage.tar_index import index_tar

    places = list(index_tar(source).members.values())
    chunks = [places[start : start + _CHUNK] for start in range(0, len(places), _CHUNK)]
    work = partial(_decode, source, hashed=how != "decode")
    if how == "processes":
        pool: Executor = ProcessPoolExecutor(threads, multiprocessing.get_context("spawn"))
    else:
        pool = ThreadPoolExecutor(threads)
    with pool:
        list(pool.map(work, [[]] * threads * 2))
        yield lambda: sum(pool.map(work, chunks))


@cache
def _descriptor(source: Path) -> int:
    return os.open(source, os.O_RDONLY)


def _decode(source: Path, places: Sequence[tuple[int, int]], *, hashed: bool) -> int:
    for offset, size in places:
        content = os.pread(_descriptor(source), size, offset)
        if hashed:
            hashlib.sha256(content).hexdigest()
        Image.open(io.BytesIO(content)).load()
    return len(places)


def _cpu_seconds() -> float:
    """CPU time of this process and of those of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _peak() -> float:
    """Megabytes of memory at the peak of this process; ``ru_maxrss`` would begin with the peak of its parent."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _in_a_process(source: Path, threads: int, plain: str | None = None) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.doors", "--measure", str(source), "--threads", str(threads)]
    answer = subprocess.run(
        [*command, *(["--plain", plain] if plain else [])], check=True, capture_output=True, text=True
    )
    return dict(json.loads(answer.stdout))


def run_doors(
    count: int,
    rounds: int,
    threads: int,
    seed: int,
    sources: tuple[Path, ...],
    forms: Sequence[str] = tuple(_WRITERS),
    side: int = _SIDE,
) -> dict[str, Any]:
    """Median images per second of each form and comparison, the ratios to the comparisons, and megabytes at the peak.

    The ratios of images per second of CPU time are the ones to look at where other programs share the cores.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in {"set.tar", *forms}:
            _WRITERS[name](root / name, _images(count, seed, side))
        places = {name: root / name for name in forms} | {source.name: source for source in sources}
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            for how, name in _COMPARISONS.items():
                found.setdefault(name, []).append(_in_a_process(root / "set.tar", threads, how))
            for name, place in places.items():
                found.setdefault(name, []).append(_in_a_process(place, threads))
    speeds, per_cpu = (
        {name: [one["images"] / one[clock] for one in all_] for name, all_ in found.items()}
        for clock in ("seconds", "cpu")
    )
    return {
        "images": count,
        "threads": threads,
        "images_per_second": {name: statistics.median(values) for name, values in speeds.items()},
        "ratio": {how: _ratios(speeds, name) for how, name in _COMPARISONS.items()},
        "cpu_ratio": {how: _ratios(per_cpu, name) for how, name in _COMPARISONS.items()},
        "megabytes": {name: max(one["megabytes"] for one in all_) for name, all_ in found.items()},
    }


def _ratios(speeds: Mapping[str, list[float]], compared: str) -> dict[str, float]:
    """Median ratio of each to a comparison, round by round."""
    return {
        name: statistics.median(here / there for here, there in zip(values, speeds[compared], strict=True))
        for name, values in speeds.items()
    }


@click.command()
@click.option("--images", "count", default=20_000, show_default=True, help="Number of images.")
@click.option("--rounds", default=3, show_default=True, help="Measurements of each form.")
@click.option("--threads", default=2, show_default=True, help="Decoding threads or processes.")
@click.option("--seed", default=0, show_default=True)
@click.option("--source", "sources", multiple=True, type=click.Path(path_type=Path), help="A further set. Repeatable.")
@click.option(
    "--side", default=_SIDE, show_default=True, help="Pixels; small ones show the memory of many images soon."
)
@click.option("--form", "forms", multiple=True, type=click.Choice(list(_WRITERS)), help="Only this form. Repeatable.")
@click.option("--measure", type=click.Path(path_type=Path), help="Measure this source in this process, once.")
@click.option("--plain", type=click.Choice(list(_COMPARISONS)), help="A comparison, of a tar.")
def main(
    count: int,
    rounds: int,
    threads: int,
    seed: int,
    sources: tuple[Path, ...],
    forms: tuple[str, ...],
    side: int,
    measure: Path | None,
    plain: str | None,
) -> None:
    """Measure the doors of ingest; prints JSON, and a table on stderr."""
    if measure is not None:
        click.echo(json.dumps(_measure(measure, threads, plain=plain)))
        return
    answer = run_doors(count, rounds, threads, seed, sources, forms or tuple(_WRITERS), side)
    table = Table(title=f"{count} images, {threads} threads", title_justify="left")
    ratios = [(clock, how) for clock in ("ratio", "cpu_ratio") for how in _COMPARISONS]
    names = [f"{'CPU ratio' if clock == 'cpu_ratio' else 'ratio'} to {how}" for clock, how in ratios]
    for column in ("source", "images/s", *names, "MB more at the peak"):
        table.add_column(column, justify="left" if column == "source" else "right")
    for name, speed in answer["images_per_second"].items():
        table.add_row(
            name,
            f"{speed:.0f}",
            *(f"{answer[clock][how][name]:.2f}" for clock, how in ratios),
            f"{answer['megabytes'][name]:.0f}",
        )
    Console(stderr=True).print(table)
    click.echo(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
