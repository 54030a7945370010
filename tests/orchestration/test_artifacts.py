from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.orchestration.artifacts import artifact_key, publish_link, publish_page, publish_table, task_progress
from purify.report.markdown import markdown_records, markdown_table, markdown_text, picture, plain, summary_table


def test_key_is_lower_case_words_and_dashes() -> None:
    assert artifact_key("Progress", "train round-1 / Größe") == "progress-train-round-1-gr-e"
    with pytest.raises(ValueError, match="no letter or digit"):
        artifact_key("--", "é")


@given(st.text())
def test_any_key_is_one_that_prefect_accepts(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", artifact_key("stage", text))


def test_plain_turns_numpy_paths_and_missing_numbers_into_json() -> None:
    values = {
        "n": np.int64(3),
        "share": np.float32(0.5),
        "kept": np.bool_(True),
        "none": np.float64("nan"),
        "far": float("inf"),
        "list": [np.int32(1), (2, np.nan)],
        "array": np.arange(3),
        "path": Path("a") / "b",
        1: "key",
    }
    expected = {
        "n": 3,
        "share": 0.5,
        "kept": True,
        "none": None,
        "far": None,
        "list": [1, [2, None]],
        "array": [0, 1, 2],
        "path": "a/b",
        "1": "key",
    }
    assert plain(values) == expected
    assert json.loads(json.dumps(plain(values), allow_nan=False)) == expected


def test_summary_table_keeps_the_order() -> None:
    rows = summary_table({"rows": np.int64(7), "auc": 0.5})
    assert rows == [{"figure": "rows", "value": 7}, {"figure": "auc", "value": 0.5}]


def test_tables_in_markdown_escape_what_would_break_them() -> None:
    rows = [{"a|b": np.float64(0.123456), "gap": None}, {"a|b": "two\nlines", "gap": 3}]
    assert markdown_records(rows) == "| a\\|b | gap |\n| --- | --- |\n| 0.1235 | - |\n| two lines | 3 |"
    assert markdown_table([["x", ""], ["y", ""]]) == "| x |  |\n| --- | --- |\n| y |  |"


def test_names_do_not_become_markup() -> None:
    assert markdown_text("<img src=x onerror=alert(1)>") == "&lt;img src=x onerror=alert\\(1\\)&gt;"
    assert markdown_text("[a](javascript:x) `b` **c**\n# d") == (r"\[a\]\(javascript:x\) \`b\` \*\*c\*\* \# d")
    assert picture("a]|b", "data:image/png;base64,AA==") == r"![a\]\|b](data:image/png;base64,AA==)"


def stored(key: str) -> list[Any]:
    """Artifacts of `key` on the server, oldest first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    with get_client(sync_client=True) as client:
        return client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.UPDATED_DESC
        )[::-1]


def test_a_flow_publishes_tables_pages_and_links(prefect_server: str) -> None:
    from prefect import flow

    @flow
    def summarize() -> None:
        rows = summary_table({"rows": np.int64(7), "auc": np.nan})
        publish_table(rows, key="Unit test table", description="a table")
        publish_page("# Unit", key="unit-test-page", description="a page")
        publish_link("http://127.0.0.1/x", key="unit-test-link", text="there", description="a link")

    summarize()
    (table,) = stored("unit-test-table")
    assert json.loads(table.data) == [{"figure": "rows", "value": 7}, {"figure": "auc", "value": None}]
    assert table.flow_run_id is not None
    assert [page.data for page in stored("unit-test-page")] == ["# Unit"]
    assert [link.data for link in stored("unit-test-link")] == ["[there](http://127.0.0.1/x)"]


def test_progress_is_one_artifact_of_the_task_that_ends_at_100(prefect_server: str) -> None:
    from prefect import flow, task

    seen: list[float] = []

    @task
    def work() -> None:
        progress = task_progress("Train of this test", seconds=3600)
        progress(1, 1000, "loss 9")
        for step in range(2, 1000):
            progress(step, 1000)
        seen.append(stored("progress-train-of-this-test")[0].data)
        thread = threading.Thread(target=progress, args=(1000, 1000, "loss 0.1"))
        thread.start()
        thread.join()

    @flow
    def train() -> None:
        work()

    train()
    (artifact,) = stored("progress-train-of-this-test")
    assert seen == [0.1]  # throttled: 998 calls later still the first figure
    assert artifact.data == 100
    assert artifact.description == "Train of this test: 1000 of 1000 loss 0.1"
    assert artifact.task_run_id is not None


@pytest.mark.filterwarnings("ignore:Artifact creation outside of a flow")
def test_progress_goes_on_without_a_server(prefect_server: str) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        progress = task_progress("unheard", seconds=0)
        for step in range(100):
            progress(step, 100)
    assert stored("progress-unheard") == []
