from __future__ import annotations

from pathlib import Path

from purify.run_folder import RunFolder


def test_an_input_that_changes_while_a_stage_works_is_done_again(tmp_path: Path) -> None:
    """Reviews come whenever people review."""
    run = RunFolder(tmp_path)
    given, made = tmp_path / "reviews", tmp_path / "cleaned"
    given.write_text("one")
    calls = []

    def work() -> None:
        calls.append(given.read_text())
        made.write_text(given.read_text())
        if len(calls) == 1:
            given.write_text("two")

    for _ in range(3):
        run.run_stage("apply", {"reviews": given}, [made], work)
    assert calls == ["one", "two"]
    assert set(run.stage_seconds()) == {"apply"}


def test_a_mark_without_seconds_took_no_time(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    made = tmp_path / "table"
    made.write_text("rows")
    run.mark_done("table", {"from": 1}, [made])
    assert run.stage_done("table", {"from": 1})
    assert not run.stage_done("table", {"from": 2})
    assert run.stage_seconds() == {}
    made.write_text("other rows")
    assert not run.stage_done("table", {"from": 1})
