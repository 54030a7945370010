"""Runs of a small world at one path, in processes that a fault can hit, and the counts of what came of it."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from purify.storage.integrity import LEDGER, find_all_damage
from purify.storage.own_files import ASIDE
from purify.storage.run_folder import RunFolder
from purify.tables.reviews import read_reviews
from tests.campaign.child import FAULTY, Fault, Work, act
from tests.campaign.worlds import World, review

#: Columns of the table of counts.
OUTCOMES = ("times", "inside", "done", "resumed", "refused", "lost", "torn", "silent", "left", "traceback", "other")
_WRONG = ("lost", "torn", "silent", "left", "traceback", "other")
#: Imported by stages at their first use: once, in the server, and not in each child.
_LATER = (
    "faiss",
    "matplotlib.pyplot",
    "onnxruntime",
    "pyarrow.dataset",
    "purify.embedding.onnx",
    "purify.faces.onnx_detectors",
    "purify.report.html",
    "purify.export.formats",
    "purify.report.figures",
)
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.campaign.child", *_LATER])


class Counts:
    """Counts by fault and stage, and a sentence for everything that was wrong."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.wrong: list[str] = []
        self.peak: dict[tuple[str, str], int] = defaultdict(int)

    def add(self, fault: str, stage: str, outcomes: Sequence[tuple[str, str]], peak: int = 0) -> None:
        """Count one fault; `outcomes` are columns of the table, each with what there is to say."""
        row = self.rows[fault, stage]
        print(f"{fault} in {stage}: {' '.join(outcome for outcome, _ in outcomes)}", flush=True)
        row["times"] += 1
        self.peak[fault, stage] = max(self.peak[fault, stage], peak)
        for outcome, said in outcomes:
            row[outcome] += 1
            if outcome in _WRONG:
                self.wrong.append(f"{fault} in {stage}: {outcome}: {said}")
                print(self.wrong[-1], flush=True)

    def table(self) -> str:
        """The counts."""
        lines = [f"{'fault':<12}{'stage':<24}" + "".join(f"{name:>10}" for name in OUTCOMES) + f"{'peak MB':>9}"]
        total: dict[str, int] = defaultdict(int)
        for (fault, stage), row in self.rows.items():
            lines.append(_line(fault, stage, row, self.peak[fault, stage]))
            for name in OUTCOMES:
                total[name] += row[name]
        return "\n".join([*lines, _line("all", "", total, max(self.peak.values(), default=0))])


class Place:
    """The runs of one world, one after the other at the same path, with copies of their former states."""

    def __init__(self, folder: Path, world: World, counts: Counts, rnd: random.Random) -> None:
        self.folder, self.world, self.counts, self.random = folder, world, counts, rnd
        self.disk = folder / "disk"
        self.run = RunFolder(self.disk / "run")
        self._scratch, self._notes = folder / "scratch", folder / "marks" / "notes"
        for path in (self.disk, self._scratch, self._notes.parent):
            path.mkdir()
        self.snapshots = folder / "snapshots"
        self.seconds: dict[str, float] = {}
        self.writes: dict[str, int] = {}
        self._usual: set[str] = set()
        self._begin()
        self.results = self.now()

    def _begin(self) -> None:
        """Run the world undisturbed, with a copy of the run before each of its stages."""
        if self.world.grow is not None:
            code, output, _ = self.work("run")
            assert code == 0, output
            review(self.run.root, self.world.reviewed)
            self.world.grow()
        else:
            self.run.root.mkdir()
            review(self.run.root, self.world.reviewed)
        shutil.copytree(self.run.root, self.folder / "begun")
        code, output, notes = self.work("run", Fault("snapshot"), snapshots=self.snapshots, reports=True)
        assert code == 0, output
        self._usual = {path.name for path in self._scratch.iterdir()}
        for note in notes:
            if "stage" in note:
                self.seconds[note["stage"]] = max(self.seconds.get(note["stage"], 0.0), note["seconds"])
                self.writes[note["stage"]] = max(self.writes.get(note["stage"], 0), note["writes"])

    def restore(self, stage: str) -> None:
        """Put the run into its state before `stage`, or at its end."""
        if stage == "end" and not (self.folder / "end").exists():
            shutil.copytree(self.run.root, self.folder / "end", symlinks=True)
        shutil.rmtree(self.run.root, ignore_errors=True)
        shutil.copytree(self.folder / "end" if stage == "end" else self.snapshots / stage, self.run.root, symlinks=True)

    def start(self, action: str, fault: Fault = Fault(), **further: Any) -> tuple[Any, Path]:  # noqa: B008
        """Start a child; its process and the file of its output."""
        output = self._notes.with_name("output" if action == "run" else f"output-{action}")
        values = {**self.world.values, **further}
        work = Work(action, self.run.root, values, self._notes, self._scratch, fault)
        process = _CONTEXT.Process(target=act, args=(work, output))
        process.start()
        return process, output

    def work(self, action: str, fault: Fault = Fault(), **further: Any) -> tuple[int, str, list[dict[str, Any]]]:  # noqa: B008
        """Exit code, output and notes of a child."""
        self._notes.unlink(missing_ok=True)
        process, output = self.start(action, fault, **further)
        process.join()
        return process.exitcode, output.read_text(errors="replace"), self.notes()

    def notes(self) -> list[dict[str, Any]]:
        """What the last child noted."""
        if not self._notes.exists():
            return []
        return [json.loads(line) for line in self._notes.read_text().splitlines()]

    def go(self) -> Path:
        """The file that a waiting child waits for."""
        return self._notes.with_name("go")

    def torn(self) -> list[tuple[str, str]]:
        """Files that are neither the former ones nor the new ones; reviews that are gone."""
        found = [("torn", damage.name) for damage in find_all_damage(self.run.root)]
        for path in self.run.root.rglob("*.parquet"):
            if not path.name.startswith(".partial-"):
                try:
                    pq.ParquetFile(path).close()
                except Exception as error:  # noqa: BLE001
                    found.append(("torn", f"{path.name}: {error}"))
        return found + self.lost()

    def lost(self) -> list[tuple[str, str]]:
        """Reviews that are gone."""
        try:
            kept = set(read_reviews(self.run.reviews)["sample_id"].to_pylist())
        except Exception as error:  # noqa: BLE001
            return [("lost", str(error))]
        return [("lost", name) for name in self.world.reviewed if name not in kept]

    def resume(self) -> list[tuple[str, str]]:
        """Continue the run, and say what became of it."""
        code, output, notes = self.work("run")
        self.peak = max((note["peak"] for note in notes if "peak" in note), default=0)
        found = traceback_in(code, output) or self.lost()
        if code == 0:
            if different := self.different():
                found.append(("silent", f"other bytes than those of an undisturbed run: {', '.join(different)}"))
            else:
                found.append(("resumed", ""))
        elif not found:
            found.append(("other", f"not resumed: {output[-300:]}"))
        return found + self.left()

    def different(self) -> list[str]:
        """Results that differ from those of the undisturbed run."""
        now = self.now()
        return sorted(name for name in {*now, *self.results} if now.get(name) != self.results.get(name))

    def left(self) -> list[tuple[str, str]]:
        """What faults have left behind, in the run and in the folder for temporary files.

        Not what an undisturbed run leaves there, too, such as the caches of PyTorch and of the ONNX Runtime.
        """
        found = (*self.run.root.rglob(".partial-*"), *self._scratch.iterdir())
        names = [path.name for path in found if path.name not in self._usual]
        for path in self._scratch.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        return [("left", name) for name in names]

    def now(self) -> dict[str, bytes]:
        """The results as they are: names and bytes."""
        found = {}
        for path in sorted(self.run.root.rglob("*")):
            name = path.relative_to(self.run.root).as_posix()
            wanted = path.suffix in (".parquet", ".safetensors", ".png", ".jpg", ".tar") or name == "evaluation.json"
            if path.is_file() and wanted and not name.startswith((LEDGER, ASIDE)):
                found[name] = path.read_bytes()
        return found


def traceback_in(code: int | None, output: str) -> list[tuple[str, str]]:
    """A traceback, if there is one."""
    if code == FAULTY or "Traceback (most recent call last)" in output:
        return [("traceback", output[-1500:])]
    return []


def _line(fault: str, stage: str, row: dict[str, int], peak: int) -> str:
    return f"{fault:<12}{stage:<24}" + "".join(f"{row[name]:>10}" for name in OUTCOMES) + f"{peak:>9}"
