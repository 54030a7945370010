"""One rank of a head whose classes are divided over processes. ``python -m benchmarks.ranks CASE_AS_JSON``."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from benchmarks.head import HeadCase, peak_bytes
from purify.errors import PurifyError
from purify.models.heads import Margin, SubcenterHead
from purify.models.seeding import class_normals, seeded_generator
from purify.models.sharded_softmax import cross_entropy, gather_rows
from purify.training.distributed import process_group
from purify.training.rendezvous import RENDEZVOUS

SIZES = (1, 2, 3)
_SCALE, _MARGIN = 64.0, 0.5
_REPOSITORY = Path(__file__).resolve().parents[1]


def run_ranks(case: HeadCase) -> dict[str, Any]:
    """The dense head of `case`, divided over 1, 2 and 3 processes on this machine.

    Returns
    -------
    dict
        ``case``; ``ranks``: number of processes -> ``head_bytes`` (weight, momentum and gradient of the largest
        rank), ``peak_bytes`` (of the largest process, beyond its memory before the head), ``seconds`` of a step,
        ``losses``; ``ratios`` to one process of the first three, and the largest relative difference of the losses.

    Raises
    ------
    PurifyError
        If a process fails.
    """
    ranks = {size: _measured(case, size) for size in SIZES}
    one = ranks[SIZES[0]]
    ratios = {
        size: {measure: _ratio(found, one, measure) for measure in ("head_bytes", "peak_bytes", "seconds")}
        | {"loss": max(abs(a / b - 1) for a, b in zip(found["losses"], one["losses"], strict=True))}
        for size, found in ranks.items()
    }
    return {"case": asdict(case), "ranks": ranks, "ratios": ratios}


def _ratio(found: Mapping[str, Any], one: Mapping[str, Any], measure: str) -> float | None:
    """Ratio to one process; None if that needed no further memory, as for a head of a few classes."""
    return found[measure] / one[measure] if one[measure] else None


def ranks_table(answer: Mapping[str, Any]) -> Table:
    """The measures of `run_ranks`, one row per number of processes."""
    case = answer["case"]
    table = Table(
        title=f"{case['classes']:,} classes x K = {case['subcenters']} x {case['dim']}, batch {case['batch']}",
        title_justify="left",
    )
    for title in (
        "processes",
        "head a rank, GiB",
        "of one",
        "peak a rank, GiB",
        "of one",
        "step, s",
        "loss differs by",
    ):
        table.add_column(title, justify="right")
    for size, found in answer["ranks"].items():
        ratio = answer["ratios"][size]
        table.add_row(
            str(size),
            f"{found['head_bytes'] / 2**30:.3f}",
            f"{ratio['head_bytes']:.3f}",
            f"{found['peak_bytes'] / 2**30:.3f}",
            "-" if ratio["peak_bytes"] is None else f"{ratio['peak_bytes']:.3f}",
            f"{found['seconds']:.2f}",
            f"{ratio['loss']:.1e}",
        )
    return table


def _measured(case: HeadCase, size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "OMP_NUM_THREADS": str(case.threads),
            "GLOO_SOCKET_IFNAME": "lo",
            RENDEZVOUS: f"file://{folder}/meet",
            "WORLD_SIZE": str(size),
        }
        ranks = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.ranks", json.dumps(asdict(case))],
                cwd=_REPOSITORY,
                env=environment | {"RANK": str(rank)},
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(size)
        ]
        answers = [rank.communicate()[0] for rank in ranks]
    if failed := [rank.returncode for rank in ranks if rank.returncode]:
        raise PurifyError(f"{size} processes: exit code {failed[0]}")
    found = [json.loads(answer) for answer in answers]
    most = {measure: max(rank[measure] for rank in found) for measure in ("head_bytes", "peak_bytes", "seconds")}
    return most | {"losses": found[0]["losses"]}


def measure_rank(case: HeadCase) -> dict[str, Any]:
    """Steps with SGD (momentum, weight decay) of this rank's classes."""
    torch.set_num_threads(case.threads)
    with process_group(torch.device("cpu")) as ranks:
        before = peak_bytes()
        classes, batch = ranks.shard(case.classes), ranks.shard(case.batch)
        rows = class_normals(classes, (case.subcenters, case.dim), case.seed)
        head = SubcenterHead(0, case.dim, scale=_SCALE, margin=Margin(m2=_MARGIN)).with_rows(rows)
        optimizer = torch.optim.SGD([head.weight], lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
        losses, seconds = [], []
        for step in range(1 + case.steps):
            images = torch.randn(case.batch, case.dim, generator=seeded_generator(case.seed, step))
            labels = torch.randint(case.classes, (case.batch,), generator=seeded_generator(case.seed, step, 1))
            own = images[batch.slice].requires_grad_()
            began = time.perf_counter()
            targets = classes.local(labels)
            optimizer.zero_grad()
            loss = cross_entropy(head(gather_rows(own, case.batch, ranks), targets), targets, ranks)
            loss.backward()
            optimizer.step()
            seconds.append(time.perf_counter() - began)
            losses.append(float(loss.detach()))
        kept = (head.weight, head.weight.grad, optimizer.state[head.weight]["momentum_buffer"])
        return {
            "head_bytes": sum(tensor.nbytes for tensor in kept if tensor is not None),
            "peak_bytes": peak_bytes() - before,
            "seconds": statistics.median(seconds[1:]),
            "losses": losses,
        }


if __name__ == "__main__":
    print(json.dumps(measure_rank(HeadCase(**json.loads(sys.argv[1])))))
