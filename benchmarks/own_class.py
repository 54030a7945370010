"""Own-class evidence from a Parquet file, beside reading the file: ``python -m benchmarks.own_class --help``.

The evidence is the cosine of each embedding to the mean of its class without it. Beside it is the evidence that
``get_outliers`` of pytorch-metric-learning computes from sub-centers, on as many rows as it manages.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.table import Table

from benchmarks.answers import console, give
from benchmarks.scale_sets import DrawnSet
from purify.analysis.label_noise.leave_one_out import class_sums
from purify.analysis.search import one_blas_thread, unit
from purify.analysis.threaded_search import BLOCK_ROWS, map_blocks
from purify.arrays import Ids, Vectors


def write_parquet(drawn: DrawnSet, place: Path) -> None:
    """The embeddings of a drawn set, float16, in row groups of one block."""
    schema = pa.schema([("embedding", pa.list_(pa.float16(), drawn.dim))])
    with pq.ParquetWriter(place, schema, compression="none", use_dictionary=False) as out:
        for _, vectors in drawn.blocks():
            lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), drawn.dim)
            out.write_table(pa.table([lists], schema=schema))


def read(place: Path, rows: int, dim: int, kind: type[np.floating] = np.float16) -> Vectors:
    """All embeddings [N, D], a row group at a time."""
    vectors = np.empty((rows, dim), kind)
    for at, block in _row_groups(place, dim):
        vectors[at] = block
    return vectors


def _row_groups(place: Path, dim: int) -> Iterator[tuple[slice, Vectors]]:
    start = 0
    with pq.ParquetFile(place) as file:
        for group in range(file.num_row_groups):
            block = file.read_row_group(group)["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, dim)
            yield slice(start, start + len(block)), block
            start += len(block)


def evidence(place: Path, label_index: Ids, dim: int) -> Vectors:
    """Cosine [N] of each embedding to the mean of its class without it, of rows sorted by class."""
    rows = len(label_index)
    vectors, weights = np.empty((rows, dim), np.float32), np.ones(rows)
    for at, block in _row_groups(place, dim):
        _units(block, vectors[at])
    with one_blas_thread():
        return class_sums(vectors, label_index, weights, int(label_index[-1]) + 1).cosines_without(
            label_index, vectors, weights
        )


def _units(block: Vectors, out: Vectors) -> None:
    def fill(part: slice) -> None:
        out[part] = unit(block[part])

    map_blocks(fill, len(block), BLOCK_ROWS)


def cost(work: Callable[[], object]) -> dict[str, float]:
    """Wall and CPU seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def get_outliers(drawn: DrawnSet) -> dict[str, float]:
    """Cost of the library's function alone, on vectors in memory and sub-centers as they are at the start."""
    from pytorch_metric_learning.losses import SubCenterArcFaceLoss

    vectors = torch.from_numpy(np.concatenate([block for _, block in drawn.blocks()]).astype(np.float32))
    labels = torch.from_numpy(drawn.truth()[0])
    loss = SubCenterArcFaceLoss(num_classes=drawn.labels, embedding_size=drawn.dim)
    with torch.no_grad():
        return cost(lambda: loss.get_outliers(vectors, labels))


def run(drawn: DrawnSet, rival: DrawnSet, rounds: int) -> dict[str, Any]:
    """Least of several rounds, in turn, of the readings and of the evidence; and the rival once."""
    with tempfile.TemporaryDirectory() as folder:
        place, label_index = Path(folder) / "embeddings.parquet", drawn.truth()[0]
        write_parquet(drawn, place)
        ways: dict[str, Callable[[], object]] = {
            "read as float16": lambda: read(place, drawn.rows, drawn.dim),
            "read as float32": lambda: read(place, drawn.rows, drawn.dim, np.float32),
            "own-class evidence": lambda: evidence(place, label_index, drawn.dim),
        }
        found = [{name: cost(way) for name, way in ways.items()} for _ in range(rounds)]
    least = {name: {kind: min(one[name][kind] for one in found) for kind in ("wall", "cpu")} for name in ways}
    ours = {"rows": drawn.rows, "labels": drawn.labels, "dim": drawn.dim}
    theirs = {"rows": rival.rows, "labels": rival.labels, **get_outliers(rival)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {**ours, "ways": least, "get_outliers": theirs, "peak": peak}


def table(answer: Mapping[str, Any]) -> Table:
    """Seconds a million rows."""
    found = Table("", "rows", "labels", "wall s", "CPU s", "CPU s a million rows")
    theirs = answer["get_outliers"]
    ours = [(name, answer["rows"], answer["labels"], figures) for name, figures in answer["ways"].items()]
    for name, rows, labels, figures in [*ours, ("get_outliers", theirs["rows"], theirs["labels"], theirs)]:
        costs = (figures["wall"], figures["cpu"], figures["cpu"] * 1e6 / rows)
        found.add_row(name, f"{rows:,}", f"{labels:,}", *(f"{value:,.2f}" for value in costs))
    return found


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--labels", type=click.IntRange(3), default=1322, show_default=True, help="C.")
@click.option("--images", type=click.IntRange(2), default=76, show_default=True, help="Of each label.")
@click.option("--dim", type=click.IntRange(2), default=512, show_default=True, help="Of the embeddings.")
@click.option("--rival-labels", type=click.IntRange(3), default=132, show_default=True, help="C of get_outliers.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file of the answer.")
def main(*, labels: int, images: int, dim: int, rival_labels: int, rounds: int, out: Path | None) -> None:
    """Own-class evidence beside reading its file, and beside get_outliers."""
    answer = run(DrawnSet(labels, images, dim), DrawnSet(rival_labels, images, dim), rounds)
    console(100).print(table(answer))
    give(answer, out)


if __name__ == "__main__":
    main()
