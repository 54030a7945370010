"""Request of a run on the demo set, with a short recipe for a first look."""

from __future__ import annotations

from pathlib import Path

from purify.config import PurifyConfig
from purify.pipeline.request import RunRequest
from purify.progress import progress_board
from purify.storage.locations import Location, Url
from purify.storage.sync import SyncedFolder
from purify_demo.dataset import write_demo

#: The recipe of the demo run, in the form of ``--set``.
DEMO_SETTINGS = ("train.epochs=20", "train.min_steps=0", "rounds.most=1")


def demo_request(folder: Location, config: PurifyConfig, *, quiet: bool) -> RunRequest:
    """A run in `folder` on the built-in demo set, drawn to ``demo-data-SEED`` beside it if missing."""
    with progress_board(quiet=quiet) as board:
        beside = SyncedFolder.of(folder.parent).folder if isinstance(folder, Url) else folder.parent
        demo = write_demo(Path(beside) / f"demo-data-{config.seed}", seed=config.seed, progress=board.stage("draw"))
    ingest = config.ingest.model_copy(update={"images": [str(demo.images)]})
    evaluate = config.evaluate.model_copy(update={"pairs": str(demo.pairs)})
    config = config.model_copy(update={"ingest": ingest, "evaluate": evaluate})
    return RunRequest(source=str(demo.table), run_folder=str(folder), config=config)
