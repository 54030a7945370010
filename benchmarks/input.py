"""Cost of input: training that decodes every image, compared with the same on images in memory, and with bare steps."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Condition
from typing import Any

import numpy as np
import torch
from rich.table import Table

from purify.config import IngestConfig, ModelConfig, TrainConfig
from purify.errors import InputError
from purify.images.loading import AHEAD
from purify.ingest.ingest import ingest
from purify.models.precision import default_device
from purify.models.process_group import SINGLE_PROCESS
from purify.progress import Progress
from purify.training.batches import view_batches
from purify.training.loop import train
from purify.training.schedule import make_schedule
from purify.training.step import train_step
from purify.training.train_state import initial_state
from purify.training.training_set import TrainingSet
from purify_demo import write_demo

_MEGABYTE = 1 << 20
#: The defaults: backbone, image size and batch size.
_MODEL, _TRAIN = ModelConfig(), TrainConfig()
#: Kinds: decode every image at each use; keep all of them in memory; steps alone, on batches that are there already.
_DECODED, _IN_MEMORY, _BARE = "decoded", "in_memory", "bare_step"


@dataclass(frozen=True)
class InputCase:
    """`rounds` timed blocks of `steps` steps for each kind, with `threads` compute threads."""

    steps: int
    rounds: int
    threads: int
    seed: int

    @property
    def block(self) -> int:
        """Steps per turn. The first, untimed ones use up the batches prefetched during the other's turn."""
        return AHEAD + self.steps


class _Finished(Exception):
    """Ends a training once all of its blocks are timed."""


@dataclass
class _Turns:
    """Lets trainings take turns, block by block, so that other load on the machine affects both alike."""

    case: InputCase
    kinds: tuple[str, ...] = (_DECODED, _IN_MEMORY, _BARE)
    turn: int = 0
    changed: Condition = field(default_factory=Condition)
    blocks: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def run(self, data: TrainingSet, kind: str) -> None:
        """Train until the blocks of `kind` are timed, as (wall, CPU) seconds."""
        enough = len(data.uris) * 3 * _MODEL.input_size**2 // _MEGABYTE + 1
        values = {"epochs": 2 + self.case.rounds, "min_steps": 0, "cache_mb": enough if kind == _IN_MEMORY else 0}
        config = _TRAIN.model_copy(update=values)
        work = bare_steps if kind == _BARE else train
        self._wait_for(kind)
        with suppress(_Finished):
            work(
                data,
                _MODEL,
                config,
                subcenters=config.subcenters,
                seed=self.case.seed,
                progress=self._progress(kind),
            )

    def _progress(self, kind: str) -> Progress:
        began = (0.0, 0.0)

        def progress(done: int, total: int, detail: str = "") -> None:
            nonlocal began
            number, step = divmod(done, self.case.block)
            now = (time.perf_counter(), time.process_time())
            if step == AHEAD:
                began = now
            elif step == 0:
                if number > 1:  # the first block reads the images into memory
                    self.blocks.setdefault(kind, []).append((now[0] - began[0], now[1] - began[1]))
                self._hand_over()
                if number > self.case.rounds:
                    raise _Finished
                self._wait_for(kind)

        return progress

    def ratios(self, slower: str, faster: str) -> list[float]:
        """Ratios of the throughputs of two kinds, block by block."""
        pairs = zip(self.blocks[slower], self.blocks[faster], strict=True)
        return [fast[0] / slow[0] for slow, fast in pairs]

    def _hand_over(self) -> None:
        with self.changed:
            self.turn = (self.turn + 1) % len(self.kinds)
            self.changed.notify_all()

    def _wait_for(self, kind: str) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.kinds[self.turn] == kind)


def bare_steps(
    data: TrainingSet, model: ModelConfig, config: TrainConfig, *, subcenters: int, seed: int, progress: Progress
) -> None:
    """The steps of a training (arguments as of `train`), all on the same views of one batch."""
    device, classes = default_device(), len(data.labels)
    schedule = make_schedule(config, samples=len(data.uris), subcenters=subcenters)
    state = initial_state(
        model,
        config,
        classes=classes,
        subcenters=schedule.subcenters_at(0),
        seed=seed,
        device=device,
        ranks=SINGLE_PROCESS,
    )
    rows = np.arange(config.batch_size)
    with closing(view_batches(data, [rows], model, config, seed=seed, first=0, device=device)) as batches:
        views = next(batches)
    labels = torch.from_numpy(data.label_index[rows])[None]
    for step in range(schedule.total_steps):
        train_step(state, schedule, labels, [views])
        progress(step + 1, schedule.total_steps)


def run_input(case: InputCase, source: Path | None) -> dict[str, Any]:
    """Train in turns without a cache, with all images in one, and by bare steps.

    Parameters
    ----------
    case
        Sizes.
    source
        Folder or tar of ``label/image``; None: the demo set, drawn first.

    Returns
    -------
    dict
        ``case``; ``source``; ``images_per_second`` (median of the blocks) and ``cpu_seconds_per_step`` (median; all
        threads) when every image is ``decoded``, with all of them ``in_memory``, and of a ``bare_step``; ``ratios`` of
        the first two throughputs for each pair of successive blocks, and ``ratio``, their median: 1 if decoding costs
        no time; ``loop_ratios`` and ``loop_ratio``: in memory to the bare step, 1 if the loop and its views cost none.

    Raises
    ------
    InputError
        If the source has too few images.
    """
    torch.set_num_threads(case.threads)
    turns = _Turns(case)
    with _images(source, case) as data, ThreadPoolExecutor(len(turns.kinds)) as pool:
        for done in [pool.submit(turns.run, data, kind) for kind in turns.kinds]:
            done.result()
    images = _TRAIN.batch_size * case.steps
    ratios = turns.ratios(_DECODED, _IN_MEMORY)
    loop_ratios = turns.ratios(_IN_MEMORY, _BARE)
    return {
        "case": asdict(case),
        "source": "demo set" if source is None else source.name,
        "images_per_second": {
            kind: statistics.median(images / wall for wall, _ in blocks) for kind, blocks in turns.blocks.items()
        },
        "cpu_seconds_per_step": {
            kind: statistics.median(cpu / case.steps for _, cpu in blocks) for kind, blocks in turns.blocks.items()
        },
        "ratios": ratios,
        "ratio": statistics.median(ratios),
        "loop_ratios": loop_ratios,
        "loop_ratio": statistics.median(loop_ratios),
    }


@contextmanager
def _images(source: Path | None, case: InputCase) -> Iterator[TrainingSet]:
    """As many images as a block of steps reads."""
    wanted = _TRAIN.batch_size * case.block
    with tempfile.TemporaryDirectory() as folder:
        if source is None:
            demo = write_demo(Path(folder) / "demo", seed=case.seed)
            place, roots = demo.table, [demo.images]
        else:
            place, roots = source, []
        data = TrainingSet.of_table(ingest(place, roots, IngestConfig()), name=str(place))
        if len(data.uris) < wanted:
            raise InputError(f"{place}: {len(data.uris)} images, fewer than {wanted}; fewer --steps read fewer")
        between = len(data.uris) // wanted  # the rows are sorted by label: take some of each
        rows = slice(0, wanted * between, between)
        yield TrainingSet(data.sample_ids[rows], data.uris[rows], data.labels, data.label_index[rows])


def input_table(answer: dict[str, Any]) -> Table:
    """The figures of `run_input`."""
    title = f"{answer['source']}, {_MODEL.backbone}, {_MODEL.input_size} px, batch {_TRAIN.batch_size}"
    table = Table(title=f"{title}, threads: {answer['case']['threads']}", title_justify="left")
    table.add_column("images", no_wrap=True)
    for name in ("images/s", "CPU s a step"):
        table.add_column(name, justify="right")
    for kind in answer["images_per_second"]:
        speed, cpu = answer["images_per_second"][kind], answer["cpu_seconds_per_step"][kind]
        table.add_row(kind.replace("_", " "), f"{speed:.0f}", f"{cpu:.3f}")
    table.add_row("decoded / in memory", f"{answer['ratio']:.3f}", "")
    table.add_row("in memory / bare step", f"{answer['loop_ratio']:.3f}", "")
    return table
