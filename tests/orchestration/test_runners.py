"""The same blocks by every runner: equal bytes, no stray process, and errors that say what to do."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from purify.cli import main
from purify.config import PurifyConfig, ScaleConfig
from purify.config_files import load_config
from purify.embedding.blocks import run_here
from purify.errors import InputError, PurifyError
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint, save_checkpoint
from purify.models.heads import SubcenterHead
from purify.orchestration.runners import fan_out, require_runner
from purify.orchestration.tasks import TASKS
from purify.pipeline import stages
from purify.pipeline.request import resumed_request
from purify.progress import QUIET, Progress, silent
from purify.storage.run_folder import RunFolder

REPOSITORY = Path(__file__).resolve().parents[2]
ROWS, SHARD = 44, 16
CONFIG = PurifyConfig.model_validate(
    {"embed": {"shard_size": SHARD, "batch_size": 5}, "train": {"precision": "float32"}}
)


@dataclass(frozen=True)
class Begun:
    """Makes run folders in which ingest and the first training are done."""

    source: Path
    model: Checkpoint

    def copy(self, root: Path) -> RunFolder:
        run = RunFolder(root)
        stages.ingest(run, str(self.source), CONFIG, decode=True)
        save_checkpoint(run.round(1).checkpoint, self.model)
        return run


@pytest.fixture(scope="module")
def begun(
    tmp_path_factory: pytest.TempPathFactory, draw_stripes: Callable[[Path, float, np.random.Generator], None]
) -> Begun:
    source = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(5)
    for i in range(ROWS):
        draw_stripes(source / f"label {i % 4}" / f"{i:02d}.png", i % 4, rng)
    torch.manual_seed(1)
    network = build_backbone("iresnet_small", embedding_dim=16, input_size=32).eval()
    head = SubcenterHead(4, 16)
    labels = tuple(f"label {i}" for i in range(4))
    checkpoint = Checkpoint.of(
        network, head, backbone_name="iresnet_small", input_size=32, labels=labels, extra={"images": ROWS}
    )
    return Begun(source, checkpoint)


@pytest.fixture(scope="module")
def here(begun: Begun, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Embeddings as this process alone makes them."""
    run = begun.copy(tmp_path_factory.mktemp("runs") / "here")
    stages.embed(run, 1, CONFIG)
    return run.round(1).embeddings.read_bytes()


def embed_in_flow(run: RunFolder, scale: ScaleConfig) -> tuple[bytes, list[str]]:
    """Embeddings by the runner of `scale`, in a flow; and the names of the flow's task runs."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterFlowRunId
    from prefect.runtime import flow_run

    config = CONFIG.model_copy(update={"scale": scale})

    @flow(name="blocks", validate_parameters=False)
    def blocks() -> str:
        TASKS.embed(run, 1, config, QUIET)
        return str(flow_run.id)

    flow_run_id = blocks()
    assert not list(run.root.rglob("*.npy")), "blocks are removed when they have been put together"
    with get_client(sync_client=True) as client:
        names: list[str] = []
        deadline = time.monotonic() + 30
        while len(names) < 4 and time.monotonic() < deadline:  # events reach the server a little later
            mine = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[flow_run_id]))
            names = [task_run.name for task_run in client.read_task_runs(task_run_filter=mine)]
            time.sleep(0.2)
    return run.round(1).embeddings.read_bytes(), names


def stray_servers() -> list[int]:
    """Processes of servers that Prefect starts of itself, which outlive the run."""
    home = f"PREFECT_HOME={os.environ['PREFECT_HOME']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if b"prefect.server.api.server:create_app" in command and home in environment.split(b"\0"):
            found.append(int(process.name))
    return found


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A Dask cluster that knows nothing of the run: its workers are there already."""
    distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        preload=["purify.orchestration.flow"],
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["threads", "processes", "dask", "dask at an address"])
def test_every_runner_gives_the_bytes_of_this_process(
    runner: str,
    begun: Begun,
    here: bytes,
    tmp_path: Path,
    prefect_server: str,
    request: pytest.FixtureRequest,
) -> None:
    name, _, with_address = runner.partition(" at ")
    if name == "dask":
        pytest.importorskip("prefect_dask", reason="the extra `dask` is not installed")
    address = request.getfixturevalue("scheduler") if with_address else None
    scale = ScaleConfig.model_validate({"runner": name, "workers": 2, "address": address})
    threads = torch.get_num_threads()
    embeddings, names = embed_in_flow(begun.copy(tmp_path / "run"), scale)
    assert embeddings == here
    assert {n for n in names if n.startswith("embed ")} == {"embed 0-16", "embed 16-32", "embed 32-44"}
    assert stray_servers() == []
    assert torch.get_num_threads() == threads


def test_the_default_makes_no_task_of_a_block() -> None:
    assert fan_out(ScaleConfig()) is run_here
    assert fan_out(ScaleConfig(workers=1)) is run_here
    assert fan_out(ScaleConfig(workers=2)) is not run_here


def test_another_runner_does_not_do_a_finished_stage_again(begun: Begun, tmp_path: Path, prefect_server: str) -> None:
    from prefect import flow

    run = begun.copy(tmp_path / "run")

    @flow(name="twice", validate_parameters=False)
    def twice() -> tuple[int, int]:
        TASKS.embed(run, 1, CONFIG, QUIET)
        before = run.round(1).embeddings.stat().st_mtime_ns
        TASKS.embed(run, 1, CONFIG.model_copy(update={"scale": ScaleConfig(runner="processes", workers=2)}), QUIET)
        return before, run.round(1).embeddings.stat().st_mtime_ns

    before, after = twice()
    assert before == after


@dataclass(frozen=True)
class Fatal:
    """A block whose worker dies, or that complains."""

    name: str
    out: str
    error: str = ""
    rows: int = 1

    def run(self, progress: Progress = silent) -> None:
        if self.error:
            raise InputError(self.error)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(("error", "shown"), [("", "workers are gone.*--resume"), ("image 7: unreadable", "^image 7")])
def test_a_lost_worker_and_a_bad_image_are_errors_that_say_which(
    error: str, shown: str, tmp_path: Path, prefect_server: str
) -> None:
    from prefect import flow

    @flow(name="fatal", validate_parameters=False)
    def fatal() -> None:
        fan_out(ScaleConfig(runner="processes", workers=1))([Fatal("fatal", str(tmp_path / "out"), error)], silent)

    with pytest.raises(PurifyError, match=shown) as raised:
        fatal()
    assert isinstance(raised.value, InputError) == bool(error)


WORKER = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from purify.orchestration.runners import _prepare_worker_process
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_prepare_worker_process)
    pool.submit(time.sleep, 0).result()
    print(*pool._processes, flush=True)
    time.sleep(120)
"""


@pytest.mark.slow
def test_a_worker_process_ends_when_the_flow_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(WORKER, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        try:
            assert parent.stdout is not None
            worker = int(parent.stdout.readline())
            assert Path(f"/proc/{worker}").exists()
        finally:
            parent.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_runner_that_is_not_installed_is_refused_with_the_command(
    runner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf'pip install "purify\[{runner}\]"'):
        require_runner(ScaleConfig.model_validate({"runner": runner}))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:9", r"tcp://127\.0\.0\.1:9: nothing answers"),
        ("127.0.0.1:9", "nothing answers"),
        ("tcp://127.0.0.1", "expected something like tcp://host:8786"),
        ("tcp://host:port", "expected something like tcp://host:8786"),
    ],
)
def test_a_cluster_that_is_not_there_is_refused_before_the_training(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(InputError, match=message):
        require_runner(ScaleConfig(runner="dask", address=address))


def test_an_address_without_a_cluster_runner_is_a_mistake() -> None:
    with pytest.raises(InputError, match=r"scale: .*an address needs runner dask or ray, not threads"):
        load_config(overrides=["scale.address=tcp://127.0.0.1:8786"])


def test_a_run_can_go_on_with_another_runner_but_not_with_another_recipe(begun: Begun, tmp_path: Path) -> None:
    run = begun.copy(tmp_path / "run")
    run.update_info(source=str(begun.source), embeddings=None, config=CONFIG.model_dump(mode="json"))
    resumed = resumed_request(run.root, ["scale.runner=processes", "scale.workers=2"])
    assert resumed.config.scale == ScaleConfig(runner="processes", workers=2)
    assert resumed.config.model_copy(update={"scale": ScaleConfig()}) == CONFIG
    refused = CliRunner().invoke(main, ["run-flow", "--resume", str(run.root), "--set", "train.epochs=2"])
    assert refused.exit_code == 2
    assert "--set scale.*" in refused.output
