"""Overhead of the flow over its stages: the demo's real work by ``purify run-flow``, and by the functions alone.

``python -m benchmarks.flow --help``. Each variant is a process of its own, measured from start to end, with no Prefect
server running before; CPU seconds include child processes. ``--starts 5`` measures only the seconds to the first
stage, five times.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
from rich.console import Console
from rich.table import Table

from purify.config import PurifyConfig
from purify.config_files import load_config
from purify.errors import PurifyError
from purify.storage.files import write_json
from purify.version import __version__
from purify_demo import DemoSet, write_demo
from purify_demo.request import DEMO_SETTINGS

START_LIMIT_SECONDS = 6.0
"""Maximum time from the start of the command to that of its first stage."""

ADDED_LIMIT = 0.10
"""Maximum overhead of the flow, as a share of the CPU seconds of its stages."""

_REPOSITORY = Path(__file__).resolve().parents[1]
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Cost:
    """Seconds of one variant: wall clock, and CPU time in user and system mode."""

    wall: float
    user: float
    system: float

    @property
    def cpu(self) -> float:
        """All CPU seconds."""
        return self.user + self.system


def compare(folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Measure both variants on the demo set drawn into `folder`; ``added`` is the flow's overhead, as a share."""
    demo = write_demo(folder / "demo")
    config = load_config(
        None,
        [
            *DEMO_SETTINGS,
            *overrides,
            f"ingest.images={json.dumps([str(demo.images)])}",
            f"evaluate.pairs={json.dumps(str(demo.pairs))}",
        ],
    )
    (folder / "config.json").write_text(config.model_dump_json())
    functions, _ = measured([sys.executable, "-m", "benchmarks.flow", "--stages", str(folder)], folder / "functions")
    flow, first_stage = measured(_command(demo, folder, overrides), folder / "flow")
    return {
        "versions": {"purify": __version__},
        "functions": asdict(functions),
        "flow": asdict(flow),
        "added": {
            "cpu": flow.cpu / functions.cpu - 1,
            "user": flow.user / functions.user - 1,
            "wall": flow.wall / functions.wall - 1,
        },
        "seconds_to_first_stage": first_stage,
    }


def _command(demo: DemoSet, folder: Path, overrides: Sequence[str]) -> list[str]:
    command = [sys.executable, "-m", "purify", "run-flow", str(demo.table), "--name", "flow", "--out", str(folder)]
    settings = [*DEMO_SETTINGS, *overrides, f"evaluate.pairs={json.dumps(str(demo.pairs))}"]
    options = [word for setting in settings for word in ("--set", setting)]
    return [*command, "--images", str(demo.images), *options, "--json"]


def first_stages(folder: Path, count: int) -> list[float]:
    """Seconds from the start of the command to its first stage, `count` times, each on an empty Prefect home."""
    demo = write_demo(folder / "demo")
    return [
        measured(_command(demo, folder / str(turn), ()), folder / str(turn) / "flow", to_first_stage=True)[1]
        for turn in range(count)
    ]


def measured(command: Sequence[str], run: Path, *, to_first_stage: bool = False) -> tuple[Cost, float]:
    """Cost of `command`, and seconds until ``run.json`` appeared in the folder `run`.

    The flow writes it right before its first stage, where `to_first_stage` ends the command.

    Raises
    ------
    PurifyError
        If the command fails.
    """
    home = Path(tempfile.mkdtemp(prefix="purify-benchmark-"))
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    first_stage: float | None = None
    try:
        with subprocess.Popen(
            command, cwd=_REPOSITORY, env={**environment, "PREFECT_HOME": str(home)}, stdout=subprocess.DEVNULL
        ) as child:
            while child.poll() is None:
                if first_stage is None and (run / "run.json").exists():
                    first_stage = time.monotonic() - began
                    if to_first_stage:
                        child.terminate()
                time.sleep(_POLL_SECONDS)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if first_stage is None or (child.returncode and not to_first_stage):
        raise PurifyError(f"{' '.join(command[:4])} ...: exit code {child.returncode}")
    return Cost(wall, after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime), first_stage


def run_plainly(folder: Path) -> None:
    """The same run without Prefect."""
    from purify.pipeline.run import run

    config = PurifyConfig.model_validate_json((folder / "config.json").read_text())
    run(folder / "demo" / "demo.parquet", folder / "functions", config, progress=False)


def cost_table(answer: dict[str, Any]) -> Table:
    """The figures of `compare`, one row per variant."""
    table = Table("", "wall s", "user s", "system s", title="The demo's stages")
    for way in ("functions", "flow"):
        table.add_row(way, *(f"{answer[way][key]:.1f}" for key in ("wall", "user", "system")))
    added = answer["added"]
    table.add_row("added", f"{added['wall']:+.1%}", f"{added['user']:+.1%}", f"CPU in all {added['cpu']:+.1%}")
    table.caption = f"first stage after {answer['seconds_to_first_stage']:.1f} s"
    return table


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures as JSON.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="As of `purify run-flow`.")
@click.option("--starts", type=click.IntRange(min=1), metavar="N", help="Only measure the start, N times.")
@click.option("--stages", type=click.Path(exists=True, file_okay=False, path_type=Path), hidden=True)
def main(out: Path | None, overrides: tuple[str, ...], starts: int | None, stages: Path | None) -> None:
    """What Prefect adds to the demo's work. It takes twice the demo's time; nothing else should run meanwhile."""
    if stages is not None:
        run_plainly(stages)
        return
    with tempfile.TemporaryDirectory(prefix="purify-benchmark-") as folder:
        if starts is not None:
            click.echo(json.dumps({"seconds_to_first_stage": first_stages(Path(folder), starts)}))
            return
        answer = compare(Path(folder), overrides)
    if out is not None:
        write_json(out, answer)
    click.echo(json.dumps(answer, indent=2))
    Console(width=100).print(cost_table(answer))
    late = answer["seconds_to_first_stage"] > START_LIMIT_SECONDS
    if late or answer["added"]["cpu"] > ADDED_LIMIT:
        sys.exit(f"over the limit of {START_LIMIT_SECONDS:g} s to the first stage and {ADDED_LIMIT:.0%} of CPU time")


if __name__ == "__main__":
    main()
