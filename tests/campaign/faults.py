"""Faults that are inflicted on runs and commands, and what became of them.

Right is: a run that is continued ends with the bytes of an undisturbed one, or is refused by a message that names the
file; nothing of a person is lost, nothing is left behind, no file is torn, and no traceback is shown.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from purify.storage.integrity import LEDGER, find_all_damage
from purify.storage.own_files import ASIDE
from purify.storage.run_folder import LOCK, RunFolder
from purify.tables.reviews import read_reviews
from tests.campaign.child import FAULTY, WHOLE, Fault, Work, act
from tests.campaign.worlds import World, review

#: Columns of the table of counts.
OUTCOMES = ("times", "inside", "done", "resumed", "refused", "lost", "torn", "silent", "left", "traceback", "other")
_WRONG = ("lost", "torn", "silent", "left", "traceback", "other")
_REFUSED = ("run.json", "reviews.parquet")
#: Imported by stages at their first use: once, in the server, and not in each child.
_LATER = (
    "faiss",
    "matplotlib.pyplot",
    "onnxruntime",
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
        self.results = self._results()

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
        now = self._results()
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

    def _results(self) -> dict[str, bytes]:
        found = {}
        for path in sorted(self.run.root.rglob("*")):
            name = path.relative_to(self.run.root).as_posix()
            wanted = path.suffix in (".parquet", ".safetensors", ".png", ".jpg", ".tar") or name == "evaluation.json"
            if path.is_file() and wanted and not name.startswith((LEDGER, ASIDE)):
                found[name] = path.read_bytes()
        return found


def kill(place: Place, stage: str, kind: str, *, at_a_write: bool) -> None:
    """End a run inside a stage by a signal, at a random moment or at a random one of its writes, and resume it."""
    place.restore(stage)
    write = place.random.randint(1, max(1, place.writes[stage])) if at_a_write else 0
    seconds = place.random.uniform(0, place.seconds[stage])
    code, output, notes = place.work("run", Fault(kind, stage, seconds, write))
    ended = [note["stage"] for note in notes if "stage" in note]
    outcomes = [("inside", "")] if code != 0 and stage not in ended[:-1] else []
    outcomes += [("done", "")] if code == 0 else []
    outcomes += [*traceback_in(code, output), *place.torn()]
    place.counts.add(_name(kind, at_a_write), f"{place.world.name}: {stage}", [*outcomes, *place.resume()], place.peak)


def no_space(place: Place, stage: str, *, real: bool) -> None:
    """Fill the disk inside a stage: a small file system, or an error at a write; then make room, and resume."""
    place.restore(stage)
    if real:
        used = sum(path.stat().st_blocks * 512 for path in place.run.root.rglob("*"))
        ends = sum(len(content) for content in place.results.values())
        most = used + place.random.randint(0, max(1, int(1.2 * ends)))
        kept = place.disk.with_name("kept")
        place.disk.rename(kept)
        place.disk.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={max(most, 65536)}", "tmpfs", str(place.disk))
        shutil.copytree(kept / "run", place.run.root, symlinks=True)
        fault = Fault()
    else:
        fault = Fault("no space", stage, write=place.random.randint(1, max(1, place.writes[stage])))
    code, output, _ = place.work("run", fault)
    outcomes = [("done", "")] if code == 0 else []
    if code not in (0, FAULTY):
        said = "space" in output or "can't be written" in output
        outcomes += [("refused", "")] if said else [("other", f"not said: {output[-300:]}")]
    outcomes += [*traceback_in(code, output), *place.torn()]
    if real:
        _mount("-o", "remount,size=512m", str(place.disk))
    outcomes += place.resume()
    if real:
        _unmount(place.disk)
        place.disk.rmdir()
        kept.rename(place.disk)
    place.counts.add("disk full" if real else "no space", f"{place.world.name}: {stage}", outcomes, place.peak)


def read_only(place: Place, stage: str) -> None:
    """Make the run's file system read-only before a stage; then writable again, and resume."""
    place.restore(stage)
    _mount("--bind", str(place.disk), str(place.disk))
    _mount("-o", "remount,bind,ro", str(place.disk))
    try:
        code, output, _ = place.work("run")
    finally:
        _unmount(place.disk)
    outcomes = [("done", "")] if code == 0 else []
    if code not in (0, FAULTY):
        outcomes += [("refused", "")] if "ead-only" in output else [("other", f"not said: {output[-300:]}")]
    outcomes += [*traceback_in(code, output), *place.torn(), *place.resume()]
    place.counts.add("read-only", f"{place.world.name}: {stage}", outcomes, place.peak)


def vanish(place: Place, stage: str) -> None:
    """Take the source away as a stage begins; then give it back, and resume."""
    place.restore(stage)
    source = Path(place.world.values["source"])
    code, output, _ = place.work("run", Fault("vanish", stage))
    outcomes = [("done", "")] if code == 0 else []
    if code == 0 and (different := place.different()):
        outcomes.append(("silent", f"without the source, other bytes: {', '.join(different)}"))
    if code not in (0, FAULTY):
        named = source.name in output
        outcomes += [("refused", "")] if named else [("other", f"not named: {output[-300:]}")]
    outcomes += [*traceback_in(code, output), *place.torn()]
    source.with_name("away").rename(source)
    place.counts.add("source gone", f"{place.world.name}: {stage}", [*outcomes, *place.resume()], place.peak)


def second_run(place: Place, stage: str) -> None:
    """Start a second run, and an `apply`, in the folder of one that is inside a stage: both are refused."""
    place.restore(stage)
    place.go().unlink(missing_ok=True)
    (place.folder / "marks" / "notes").unlink(missing_ok=True)
    first, output = place.start("run", Fault("wait", stage))
    while not any("begun" in note for note in place.notes()) and first.is_alive():
        first.join(0.02)
    outcomes: list[tuple[str, str]] = []
    kept = output.with_name("first-output")
    output.rename(kept)
    for action, values in (("run", {}), ("command", {"arguments": ["apply", str(place.run.root)]})):
        second, said = place.start(action, **values)
        second.join()
        text = said.read_text()
        # Before anything is judged, `apply` has nothing to do, whoever is at work.
        good = second.exitcode == 2 and any(why in text for why in ("at work on this run", "no run with verdicts"))
        outcomes += [("refused", "")] if good else [("other", f"{action} ended with {second.exitcode}: {text[-300:]}")]
    place.go().touch()
    first.join()
    outcomes += traceback_in(first.exitcode, kept.read_text())
    if first.exitcode or (different := place.different()):
        outcomes.append(
            ("silent", f"the first run suffered: {first.exitcode}, {different if not first.exitcode else ''}")
        )
    place.go().unlink()
    place.counts.add("second run", f"{place.world.name}: {stage}", [*outcomes, *place.resume()], place.peak)


def flip(place: Place, name: str) -> None:
    """Change one byte of a file of the finished run, and update it: named, never absorbed."""
    place.restore("end")
    path = place.run.root / name
    content = bytearray(path.read_bytes())
    content[place.random.randrange(len(content))] ^= 1 << place.random.randrange(8)
    path.write_bytes(content)
    code, output, _ = place.work("run")
    outcomes = traceback_in(code, output)
    if code == 0:
        if name not in " ".join(place.run.read_info().get("damage") or []):
            outcomes.append(("silent", f"{name}: absorbed"))
        # A finished run that is called again is an update, which adds files of its own.
        different = [
            one for one in place.different() if one in place.results and (one != name or not name.startswith("growth"))
        ]
        outcomes.append(("silent", f"{name}: other results: {different}") if different else ("resumed", ""))
    elif name not in output:
        outcomes.append(("other", f"{name}: {output[-300:]}"))
    elif name in _REFUSED or name.startswith(LEDGER):
        outcomes.append(("refused", ""))
    else:
        outcomes.append(("other", f"{name}: refused, though a stage could make it again: {output[-300:]}"))
    kind = "recorded hashes" if name.startswith(LEDGER) else f"*{Path(name).suffix}"
    place.counts.add("flip", f"{place.world.name}: {kind}", outcomes + place.left())


def files_to_flip(place: Place) -> list[str]:
    """Files of the finished run with a content that means something."""
    place.restore("end")
    files = (path for path in sorted(place.run.root.rglob("*")) if path.is_file() and path.stat().st_size)
    return [path.relative_to(place.run.root).as_posix() for path in files if path.name != LOCK]


def kill_reviews(place: Place) -> None:
    """Kill a process that saves reviews: those that it has noted as saved are there."""
    place.restore("end")
    samples = [f"new {number}" for number in range(12)]
    if "review" not in place.writes:
        _, _, notes = place.work("review", samples=samples)
        place.writes["review"] = max(note["writes"] for note in notes if "writes" in note)
        place.restore("end")
    write = place.random.randint(1, place.writes["review"])
    code, output, notes = place.work("review", Fault("kill", WHOLE, write=write), samples=samples)
    saved = {note["saved"] for note in notes if "saved" in note}
    outcomes = [("inside", "")] if code == -9 else [("done", "")]
    outcomes += [*traceback_in(code, output), *place.torn()]
    kept = set(read_reviews(place.run.reviews)["sample_id"].to_pylist())
    outcomes += [("lost", name) for name in saved - kept]
    code, output, _ = place.work("review", samples=samples)
    kept = set(read_reviews(place.run.reviews)["sample_id"].to_pylist())
    outcomes.append(("resumed", "") if code == 0 and set(samples) < kept else ("other", output[-300:]))
    place.counts.add("kill", "review save", outcomes)


def kill_command(place: Place, name: str, arguments: list[str], out: Path | None) -> None:
    """Kill a command at one of its writes, and give it again: as if it had not been killed."""
    place.restore("end")
    if out is not None:
        shutil.rmtree(out, ignore_errors=True)
    known = f"command {name}"  # stages have these names, too
    if known not in place.writes:
        code, output, notes = place.work("command", Fault("none", WHOLE), arguments=arguments)
        assert code == 0, output
        place.writes[known] = max(1, *(note["writes"] for note in notes if "writes" in note))
        _keep(place, name, out)
        place.restore("end")
    if out is not None:
        shutil.rmtree(out, ignore_errors=True)
    write = place.random.randint(1, place.writes[known])
    code, output, _ = place.work("command", Fault("kill", WHOLE, write=write), arguments=arguments)
    outcomes = [("inside", "")] if code == -9 else [("done", "")]
    outcomes += [*traceback_in(code, output), *place.torn()]
    code, output, notes = place.work("command", arguments=arguments)
    outcomes += traceback_in(code, output)
    same = _content(out or place.run.root) == _content(place.folder / f"whole-{name}")
    if code:
        outcomes.append(("other", output[-300:]))
    else:
        outcomes.append(("resumed", "") if same else ("silent", _difference(place, name, out)))
    peak = max((note["peak"] for note in notes if "peak" in note), default=0)
    place.counts.add("kill", name, outcomes + place.left(), peak)


def traceback_in(code: int | None, output: str) -> list[tuple[str, str]]:
    """A traceback, if there is one."""
    if code == FAULTY or "Traceback (most recent call last)" in output:
        return [("traceback", output[-1500:])]
    return []


def can_mount(folder: Path) -> bool:
    """Whether this process may mount file systems."""
    probe = folder / "probe"
    probe.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(probe)]
    if (
        os.geteuid()
        or shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        probe.rmdir()
        return False
    _unmount(probe)
    probe.rmdir()
    return True


def _keep(place: Place, name: str, out: Path | None) -> None:
    shutil.copytree(out or place.run.root, place.folder / f"whole-{name}", symlinks=True)


def _content(folder: Path) -> dict[str, bytes]:
    """Files of a folder without those that tell times, and their hashes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        timed = name.startswith((LEDGER, "stages")) or path.name in (
            "run.json",
            "report.html",
            LOCK,
            ".purify-export.lock",
        )
        if path.is_file() and not timed and not path.name.startswith(".reviews"):
            found[name] = path.read_bytes()
    return found


def _difference(place: Place, name: str, out: Path | None) -> str:
    now, whole = _content(out or place.run.root), _content(place.folder / f"whole-{name}")
    return ", ".join(sorted(one for one in {*now, *whole} if now.get(one) != whole.get(one)))


def _name(kind: str, at_a_write: bool) -> str:
    return f"{kind} (write)" if at_a_write else kind


def _line(fault: str, stage: str, row: dict[str, int], peak: int) -> str:
    return f"{fault:<12}{stage:<24}" + "".join(f"{row[name]:>10}" for name in OUTCOMES) + f"{peak:>9}"


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _unmount(place: Path) -> None:
    subprocess.run(["umount", str(place)], check=True)
