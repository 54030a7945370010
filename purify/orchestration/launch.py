"""Starting the flow from the command line: what to run, where, and what to say of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from purify.config import PurifyConfig, load_config, with_overrides
from purify.credentials import without_credentials
from purify.errors import InputError
from purify.orchestration.prefect_api import prefect_api
from purify.orchestration.progress import show_on
from purify.progress import progress_board
from purify.storage import remote
from purify.storage.files import local_file, read_json
from purify.storage.locations import Location, Url, absolute
from purify.storage.run_folder import LOCK, RunFolder
from purify.storage.sync import SyncedFolder

#: The recipe of the demo run, in the form of ``--set``: short enough for a first look.
DEMO_SETTINGS = ("train.epochs=20", "train.min_steps=0")


@dataclass(frozen=True)
class FlowRequest:
    """The parameters of one run of the flow."""

    source: str
    run_folder: str
    config: PurifyConfig
    embeddings: str | None = None

    def __post_init__(self) -> None:
        for place in (self.source, self.run_folder, self.embeddings):
            try:
                without_credentials(place or "")
            except ValueError as error:
                raise InputError(str(error)) from error


def run_folder(out: Location, name: str) -> Location:
    """Folder of the run `name`, as a full path.

    Raises
    ------
    InputError
        If `name` is not a plain name.
    """
    if not name or Path(name).name != name:
        raise InputError(f"--name {name!r}: expected a plain folder name")
    return (out / name).resolve() if isinstance(out, Path) else out / name


def new_run_folder(out: Location, name: str) -> Location:
    """Folder of a run that is not there yet.

    Raises
    ------
    InputError
        If `name` is not a plain name, or the run exists.
    """
    folder = run_folder(out, name)
    root = RunFolder.at(folder).root
    begun = root.exists() and any(path.name != LOCK for path in root.iterdir())
    if begun or (isinstance(folder, Url) and remote.list_files(folder)):
        raise InputError(
            f"{folder}: there is a run already; take in what is new in its source with --update, go on with "
            f"--resume {folder}, or give another --name"
        )
    return folder


def existing_run(out: Location, name: str | None) -> Location | None:
    """Place of the run to be updated; None where it is yet to be started.

    Raises
    ------
    InputError
        If there is no name to know it by.
    """
    if not name:
        raise InputError("--update needs the --name of the run: give it the same one every time")
    folder = run_folder(out, name)
    return folder if _info(folder).exists() else None


def _info(place: Location) -> Path:
    """The ``run.json`` of a run, here or fetched from its URL; it need not be there."""
    run = RunFolder.at(absolute(place))
    if not run.info.exists() and run.url is not None and remote.exists(run.url / run.info.name):
        return local_file(run.url / run.info.name)
    return run.info


def default_name(source: str) -> str:
    """Source and time: ``faces-20260102-030405``."""
    return f"{source}-{time.strftime('%Y%m%d-%H%M%S')}"


def demo_request(folder: Location, config: PurifyConfig, *, quiet: bool) -> FlowRequest:
    """A run in `folder` on the built-in demo set, drawn to ``demo-data-SEED`` beside it if it is not there."""
    from purify_demo import write_demo

    with progress_board(quiet=quiet) as board:
        beside = SyncedFolder.of(folder.parent).folder if isinstance(folder, Url) else folder.parent
        place = beside / f"demo-data-{config.seed}"
        demo = write_demo(place, seed=config.seed, progress=board.stage("draw"))
    config = config.model_copy(
        update={
            "ingest": config.ingest.model_copy(update={"images": [str(demo.images)]}),
            "evaluate": config.evaluate.model_copy(update={"pairs": str(demo.pairs)}),
        }
    )
    return FlowRequest(source=str(demo.table), run_folder=str(folder), config=config)


def resumed_request(place: Location, overrides: Iterable[str] = ()) -> FlowRequest:
    """The request that the run at `place` was started with, but for `overrides`.

    Raises
    ------
    InputError
        If the folder is not a run, or a setting is none.
    """
    info = _info(place)
    if not info.exists():
        raise InputError(f"{place}: no run.json in this folder, so there is nothing to resume; start a new run")
    values = read_json(info)
    return FlowRequest(
        source=values["source"],
        run_folder=absolute(place),
        config=with_overrides(PurifyConfig.model_validate(values["config"]), overrides),
        embeddings=values["embeddings"],
    )


def updated_request(
    place: Location,
    *,
    source: Location | None,
    embeddings: Location | None,
    config_file: Path | None,
    overrides: Sequence[str],
) -> FlowRequest:
    """The request of an update: that of the run, with what was given anew.

    Raises
    ------
    InputError
        If `source` is another than the run's.
    """
    before = resumed_request(place, () if config_file else overrides)
    if source is not None and absolute(source) != before.source:
        raise InputError(f"{place}: this run is of {before.source}, not of {source}; give another --name")
    return FlowRequest(
        source=before.source,
        run_folder=before.run_folder,
        config=load_config(config_file, overrides) if config_file else before.config,
        embeddings=absolute(embeddings) if embeddings else before.embeddings,
    )


def _load_flow() -> None:
    """Import the flow, and torch with it, which takes as long as a temporary server's start on the other core."""
    import purify.orchestration.flow  # noqa: F401


def run_request(request: FlowRequest, *, quiet: bool) -> dict[str, Any]:
    """Run the flow and return its summary."""
    run = RunFolder.at(request.run_folder)
    with prefect_api(meanwhile=_load_flow), progress_board(quiet=quiet) as board, show_on(board):
        from prefect import tags

        from purify.orchestration.flow import purify_flow

        with tags("purify", run.root.name):
            purify_flow(request.source, request.run_folder, request.config, request.embeddings)
    from purify.orchestration.summary import run_summary  # with the flow, and torch: not before the server starts

    return run_summary(run)
