"""Faults that are inflicted on runs and commands, and what became of them.

Right is: a run that is continued ends with the bytes of an undisturbed one, or is refused by a message that names the
file; nothing of a person is lost, nothing is left behind, no file is torn, and no traceback is shown.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from purify.storage.integrity import LEDGER
from purify.storage.run_folder import LOCK
from purify.tables.reviews import read_reviews
from tests.campaign.child import FAULTY, WHOLE, Fault
from tests.campaign.place import Place, traceback_in

#: Files that are refused, since no stage can make them again.
_REFUSED = ("run.json", "reviews.parquet")


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
        told = place.run.read_info().get("damage") or []
        if not any(sentence.startswith(f"{path}: ") for sentence in told):
            outcomes.append(("silent", f"{name}: absorbed"))
        outcomes += place.left()  # what a control leaves would be counted, too
        absorbed = _absorbed(place, name)
        outcomes.append(("silent", f"{name}: other results: {absorbed}") if absorbed else ("resumed", ""))
    elif name not in output:
        outcomes.append(("other", f"{name}: {output[-300:]}"))
    elif name in _REFUSED or name.startswith(LEDGER):
        outcomes.append(("refused", ""))
    else:
        outcomes.append(("other", f"{name}: refused, though a stage could make it again: {output[-300:]}"))
    kind = "recorded hashes" if name.startswith(LEDGER) else f"*{Path(name).suffix}"
    place.counts.add("flip", f"{place.world.name}: {kind}", outcomes + place.left())


def _absorbed(place: Place, name: str) -> list[str]:
    """Results that the damaged file `name` has changed: they differ from those of an update without that file.

    Not from the former ones: an update keeps the manifest before it, and a lost training table is drawn anew.
    """
    now = place.now()
    if now == place.results:
        return []
    place.restore("end")
    for one in (name, "stages/update.json"):  # without the second, nothing is made again in a finished run
        (place.run.root / one).unlink(missing_ok=True)
    code, output, _ = place.work("run")
    assert code == 0, output
    expected = place.now()
    return sorted(one for one in {*now, *expected} if now.get(one) != expected.get(one))


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


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _unmount(place: Path) -> None:
    subprocess.run(["umount", str(place)], check=True)
