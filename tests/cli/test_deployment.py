"""``purify serve`` and ``purify deploy`` on bad usage; what they do: ``orchestration/test_deployments.py``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from purify.cli import main
from purify.config import PurifyConfig
from purify.config_files import load_config
from purify.errors import InputError
from purify.orchestration.deployments import Timetable, parameters
from purify.pipeline.request import RunRequest


@pytest.mark.parametrize("command", ["serve", "deploy"])
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--cron", "0 2 * * *", "--interval", "1d"], "give one of them"),
        (["--interval", "daily"], "such as 30m, 12h or 1d"),
        (["--interval", "0h"], "such as 30m, 12h or 1d"),
        (["--pairs", __file__], "belong to a SOURCE"),
        ([], "no Prefect server is configured"),
    ],
)
def test_bad_usage(command: str, arguments: list[str], word: str, tmp_path: Path) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(restore_defaults={PREFECT_API_URL}):  # other tests may have a server in this process
        result = CliRunner().invoke(main, [command, "--out", str(tmp_path / "runs"), *arguments])
    assert result.exit_code == 2
    assert word in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_file_is_deployed_alone(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["deploy", str(tmp_path), "--file", __file__])
    assert result.exit_code == 2
    assert "give it alone" in result.stderr


@pytest.mark.parametrize(
    "timetable", [Timetable(cron="0 2 * * x"), Timetable(cron="0 2 * * *", timezone="Mars/Base"), Timetable(cron="")]
)
def test_what_is_no_schedule_is_refused(timetable: Timetable) -> None:
    with pytest.raises(InputError, match=r"0 2 \* \* \*"):
        timetable.schedule()


def test_only_what_differs_from_the_defaults_is_stored() -> None:
    config = load_config(None, ["train.epochs=7"])
    stored = parameters(RunRequest("/data/faces", "/runs/faces", config))
    assert stored == {"source": "/data/faces", "run_folder": "/runs/faces", "config": {"train": {"epochs": 7}}}
    assert PurifyConfig.model_validate(stored["config"]) == config


@pytest.mark.parametrize(
    "place", ["s3://key:secret@bucket/faces", "s3://key:a/secret@bucket/faces", "https://me@host/faces.tar"]
)
def test_credentials_in_a_parameter_are_refused(place: str) -> None:
    with pytest.raises(InputError, match="would be stored in clear") as refused:
        RunRequest(place, "/runs/faces", PurifyConfig())
    assert "secret" not in str(refused.value)
    with pytest.raises(InputError, match="would be stored in clear"):
        load_config(None, [f'ingest.images=["{place}"]'])


@pytest.mark.parametrize(
    "place", ["/data/me@home/faces", "http://host:9000/faces@2x.tar", "s3://bucket/me@home.tar", "/faces/a:b@c"]
)
def test_an_at_sign_in_a_path_is_no_credential(place: str) -> None:
    assert RunRequest(place, "s3://bucket/me@home", PurifyConfig()).source == place
