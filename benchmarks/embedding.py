"""Speed of embedding beside its network alone: ``python -m benchmarks.embedding --help``."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

# Before torch loads: spinning threads slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
import numpy as np
import torch
from rich.table import Table

from benchmarks.answers import console, give
from purify.config import BackboneName, ExtractorConfig, IngestConfig
from purify.embedding.backbone import PixelExtractor
from purify.embedding.blocks import run_here
from purify.embedding.extract import EmbedBlock
from purify.embedding.extractors import model_file, open_extractor
from purify.errors import InputError, PurifyError
from purify.faces.augment import to_input
from purify.images.loading import ImageLoader
from purify.ingest.ingest import ingest
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from purify.models.heads import SubcenterHead
from purify.models.precision import Precision, autocast, default_device
from purify.storage.files import sha256_file
from purify.training.training_set import TrainingSet

#: Kinds: our embedding of encoded images, in shards; our extractor on pixels in memory; the network on tensors on the
#: device, images and mirror images in one pass, with torch's own threads.
_FILES, _PIXELS, _BARE = "encoded_images", "pixels_in_memory", "bare_forward"


@dataclass(frozen=True)
class EmbeddingCase:
    """`images` of `source` (folder or tar) a round, in batches and shards, with `threads` compute threads."""

    backbone: BackboneName
    dim: int
    size: int
    batch: int
    shard: int
    images: int
    rounds: int
    threads: int
    precision: Precision
    seed: int


def run_embedding(case: EmbeddingCase, source: Path) -> dict[str, Any]:
    """Embed the same images in three ways, which take turns.

    Returns
    -------
    dict
        ``case``; ``source``; ``precision``, resolved; for each kind ``images_per_second`` and
        ``cpu_seconds_per_image`` (medians of the rounds); ``ratios`` to the throughput of the ``bare_forward`` in the
        same round (medians); ``ratio_to_extractor`` of the encoded images to the pixels in memory: 1 if decoding costs
        no time.

    Raises
    ------
    InputError
        If the source has too few images.
    """
    if case.threads:
        torch.set_num_threads(case.threads)
    data = TrainingSet.of_table(ingest(source, [], IngestConfig()), name=str(source))
    if len(data.uris) < case.images:
        raise InputError(f"{source}: {len(data.uris)} images, fewer than {case.images}; fewer --images read fewer")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        save_checkpoint(model, _drawn_model(case))
        extractor = open_extractor(model, ExtractorConfig(), precision=case.precision, flip=True)
        kinds = {_FILES: _encoded(case, data, model, extractor.precision), **_in_memory(case, data, model, extractor)}
        rounds = [{kind: _timed(work) for kind, work in kinds.items()} for _ in range(1 + case.rounds)]
    del rounds[0]  # it opens files and chooses kernels
    bare = [each[_BARE][0] for each in rounds]
    walls = {kind: [each[kind][0] for each in rounds] for kind in kinds}
    return {
        "case": asdict(case),
        "source": source.name,
        "precision": extractor.precision,
        "images_per_second": {kind: case.images / statistics.median(wall) for kind, wall in walls.items()},
        "cpu_seconds_per_image": {
            kind: statistics.median(each[kind][1] / case.images for each in rounds) for kind in kinds
        },
        "ratios": {
            kind: statistics.median(least / wall for least, wall in zip(bare, walls[kind], strict=True))
            for kind in (_FILES, _PIXELS)
        },
        "ratio_to_extractor": statistics.median(each[_PIXELS][0] / each[_FILES][0] for each in rounds),
    }


def _drawn_model(case: EmbeddingCase) -> Checkpoint:
    """A backbone with random weights: its speed is that of any."""
    torch.manual_seed(case.seed)
    backbone = build_backbone(case.backbone, embedding_dim=case.dim, input_size=case.size).eval()
    labels, head = ("a", "b"), SubcenterHead(2, case.dim)
    return Checkpoint.of(backbone, head, backbone_name=case.backbone, input_size=case.size, labels=labels, extra={})


def _encoded(case: EmbeddingCase, data: TrainingSet, model: Path, precision: Precision) -> Callable[[], Any]:
    """Our embedding of the encoded images, block by block, into files."""
    digest = sha256_file(model_file(model))
    blocks = []
    for start in range(0, case.images, case.shard):
        rows = slice(start, min(start + case.shard, case.images))
        blocks.append(
            EmbedBlock(
                model=str(model),
                digest=digest,
                extractor=ExtractorConfig(),
                sample_ids=tuple(data.sample_ids[rows]),
                uris=tuple(data.uris[rows]),
                contents=tuple(data.contents[rows]),
                start=start,
                batch_size=case.batch,
                flip=True,
                precision=precision,
                decoders=0,
                out=str(model.parent / f"{start:09d}.npy"),
            )
        )
    return lambda: run_here(blocks)


def _in_memory(
    case: EmbeddingCase, data: TrainingSet, model: Path, extractor: PixelExtractor
) -> dict[str, Callable[[], Any]]:
    """Our extractor, and its bare network, on one batch again and again."""
    rows = np.arange(min(case.batch, case.images))
    loader = ImageLoader(data.sample_ids, data.uris, size=case.size, contents=data.contents)
    with loader:
        _, pixels = next(loader.batches([rows]))
    device, dtype = default_device(), getattr(torch, extractor.precision)
    network = load_checkpoint(model).build()[0].eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    both = torch.from_numpy(np.concatenate([pixels, pixels[..., ::-1]]))
    images = to_input(both.to(device))

    def bare() -> None:
        with torch.inference_mode(), autocast(device, dtype):
            for _ in range(0, case.images, case.batch):
                network(images)
        if device.type == "cuda":
            torch.cuda.synchronize()

    def ours() -> None:
        pending = [extractor.start(pixels) for _ in range(0, case.images, case.batch)]
        for read in pending:
            read()

    return {_PIXELS: ours, _BARE: bare}


def _timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def embedding_table(answer: dict[str, Any]) -> Table:
    """The figures of `run_embedding`."""
    case = answer["case"]
    title = f"{case['backbone']}, {case['size']} px, {answer['precision']}, batch {case['batch']}, {answer['source']}"
    table = Table(title=f"{title}, threads: {case['threads'] or 'torch'}", title_justify="left")
    table.add_column("embedding of", no_wrap=True)
    for name in ("images/s", "CPU ms an image", "/ bare forward"):
        table.add_column(name, justify="right")
    for kind, speed in answer["images_per_second"].items():
        cpu, ratio = answer["cpu_seconds_per_image"][kind], answer["ratios"].get(kind)
        shown = "" if ratio is None else f"{ratio:.3f}"
        table.add_row(kind.replace("_", " "), f"{speed:.1f}", f"{1000 * cpu:.2f}", shown)
    table.add_row("encoded images / pixels", f"{answer['ratio_to_extractor']:.3f}", "", "")
    return table


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--source", type=click.Path(exists=True, path_type=Path), required=True, help="Folder or tar of faces.")
@click.option("--backbone", type=click.Choice(get_args(BackboneName)), default="iresnet_small", show_default=True)
@click.option("--dim", type=click.IntRange(1), default=128, show_default=True, help="Length of an embedding.")
@click.option("--size", type=click.IntRange(32), default=48, show_default=True, help="Pixels.")
@click.option("--batch", type=click.IntRange(1), default=256, show_default=True)
@click.option("--shard", type=click.IntRange(1), default=1024, show_default=True, help="Rows of a block.")
@click.option("--images", type=click.IntRange(1), default=2048, show_default=True, help="A round.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="The median counts.")
@click.option("--threads", type=click.IntRange(0), default=0, show_default=True, help="That compute; 0: torch's own.")
@click.option("--precision", type=click.Choice(get_args(Precision)), default="auto", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="JSON file; else it is printed.")
def main(source: Path, out: Path | None, **case: Any) -> None:
    """Images a second embedded from files, from pixels in memory, and by the network alone."""
    try:
        answer = run_embedding(EmbeddingCase(**case), source)
    except PurifyError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    console(120).print(embedding_table(answer))
    give(answer, out)


if __name__ == "__main__":
    main()
