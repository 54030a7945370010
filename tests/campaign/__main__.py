"""Kills inside every stage of a run, and a flipped byte in every file of it: counts per fault and stage.

Right is: a resumed run ends with the bytes of an undisturbed one, nothing of a person is lost, nothing is left behind,
and every flipped byte is named. The exit code is 1 where anything is not.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from purify.storage.integrity import LEDGER
from purify.storage.run_folder import LOCK, RunFolder
from purify.tables.reviews import update_reviews
from purify.tables.schema import REVIEWS
from tests.noisy_set import NoisySet, draw_noisy_set, draw_stripe_pattern, result_bytes

_STAGES = (
    "ingest",
    "decide",
    "train_round",
    "train_model",
    "embed",
    "analyze",
    "apply",
    "report",
    "choose_purified",
    "evaluate",
)
_REFUSED = ("run.json", "reviews.parquet")


class Campaign:
    """Runs in `folder` on one small set, and their counts."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._set: NoisySet = draw_noisy_set(folder, draw_stripe_pattern)
        self.counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._seconds: dict[str, float] = {}
        self.wrong: list[str] = []
        run = self._begin("whole")
        self._run(run)
        for line in (folder / "ended").read_text().splitlines():
            name, seconds = line.split()
            self._seconds[name] = max(self._seconds.get(name, 0), float(seconds))
        self._whole, self._results = run, result_bytes(run)

    def kill_in_every_stage(self, times: int) -> None:
        """Kill a run inside each of its stages, resume it, and compare."""
        for number in range(times):
            for stage in _STAGES:
                self._count(f"kill in {stage}", lambda stage=stage, number=number: self._kill(stage, number))

    def flip_in_every_file(self) -> None:
        """Flip a byte in each file of the finished run in turn, and resume it."""
        files = [path for path in sorted(self._whole.root.rglob("*")) if path.is_file() and path.stat().st_size]
        for path in files:
            name = path.relative_to(self._whole.root).as_posix()
            if path.name != LOCK:
                kind = "a recorded hash" if name.startswith(LEDGER) else path.suffix
                self._count(f"flip in {kind}", lambda name=name: self._flip(name))

    def _begin(self, name: str) -> RunFolder:
        run = RunFolder(self._folder / name)
        run.root.mkdir()
        review = pa.table([["label 1/00.png"], ["drop"], [None], ["me"], [None]], schema=REVIEWS)
        update_reviews(run.reviews, lambda _: review)
        return run

    def _run(self, run: RunFolder, stage: str = "", seconds: float = 0.0) -> subprocess.CompletedProcess[str]:
        values = {
            "source": str(self._set.table),
            "out": str(run.root),
            "config": self._set.config(min_steps=24).model_dump(mode="json"),
        }
        (self._folder / "ended").unlink(missing_ok=True)
        arguments = [json.dumps(values), stage, str(seconds), str(self._folder / "ended")]
        command = [sys.executable, "-m", "tests.campaign.killed_run", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _kill(self, stage: str, number: int) -> list[str]:
        run = self._begin(f"{stage}-{number}")
        killed = self._run(run, stage, self._random.uniform(0, self._seconds.get(stage, 0.1)))
        inside = killed.returncode == -9 and stage not in (self._folder / "ended").read_text(errors="replace").split()
        self.counts[f"kill in {stage}"]["inside"] += inside
        resumed = self._run(run)
        problems = [] if resumed.returncode == 0 else [resumed.stderr[-500:]]
        if resumed.returncode == 0 and result_bytes(run) != self._results:
            problems.append("other results than those of an undisturbed run")
        if not run.reviews.exists():
            problems.append("reviews are lost")
        problems += [f"left: {path.name}" for path in run.root.rglob(".partial-*")]
        shutil.rmtree(run.root)
        return problems

    def _flip(self, name: str) -> list[str]:
        backup = self._folder / "backup"
        if not backup.exists():
            shutil.copytree(self._whole.root, backup)
        content = bytearray((self._whole.root / name).read_bytes())
        content[self._random.randrange(len(content))] ^= 1 << self._random.randrange(8)
        (self._whole.root / name).write_bytes(content)
        resumed = self._run(self._whole)
        problems = []
        if resumed.returncode == 0:
            if name not in " ".join(self._whole.read_info()["damage"]):
                problems.append(f"{name}: absorbed in silence")
            if result_bytes(self._whole) != self._results:
                problems.append(f"{name}: other results afterwards")
        elif "InputError" not in resumed.stderr or name not in resumed.stderr:
            problems.append(f"{name}: {resumed.stderr[-500:]}")
        elif name not in _REFUSED and not name.startswith(LEDGER):
            problems.append(f"{name}: refused, though a stage could make it again")
        shutil.rmtree(self._whole.root)
        shutil.copytree(backup, self._whole.root)
        return problems

    def _count(self, fault: str, inflict: Callable[[], list[str]]) -> None:
        problems = inflict()
        self.counts[fault]["times"] += 1
        self.counts[fault]["wrong"] += bool(problems)
        self.wrong += [f"{fault}: {problem}" for problem in problems]
        print(f"{fault}: {'; '.join(problems) or 'right'}", flush=True)


def main() -> int:
    """Print the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign")
    parser.add_argument("--kills", type=int, default=2, help="kills in each of the stages (default: 2)")
    parser.add_argument("--flips", choices=("all", "none"), default="all", help="a flipped byte in each file")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        campaign = Campaign(Path(folder), given.seed)
        campaign.kill_in_every_stage(given.kills)
        if given.flips == "all":
            campaign.flip_in_every_file()
    print()
    for fault, counts in campaign.counts.items():
        inside = f", {counts['inside']} of them before the stage's end" if "inside" in counts else ""
        print(f"{fault}: {counts['times']} times{inside}, {counts['wrong']} wrong")
    print("\n".join(campaign.wrong) or "0 lost, 0 torn, 0 silent")
    return bool(campaign.wrong)


if __name__ == "__main__":
    sys.exit(main())
