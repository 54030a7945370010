from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks.review import main


@pytest.mark.slow
def test_it_measures_the_page_over_http() -> None:
    words = ["--verdicts", "300", "--reviews", "50", "--presses", "2", "--chromium", ""]
    answer = CliRunner().invoke(main, words)
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert result["case"] == {"verdicts": 300, "reviews": 50, "presses": 2}
    assert set(result["http_ms"]) == {"queue_page", "item", "decision_on_disk", "label_page", "search"}
    assert all(0 < spread["median"] <= spread["worst"] for spread in result["http_ms"].values())
    assert "browser_ms" not in result
