"""Deployments on a real server with a real worker: schedules, limits, artifacts, failures, kills, lost runs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

from purify.config import PurifyConfig
from purify.orchestration.entrypoints import ENTRYPOINT
from purify.pipeline.request import RunRequest
from purify.storage.files import read_json, read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import MANIFEST, REMOVED, REVIEWS, VERDICTS
from tests.noisy_set import NoisySet
from tests.orchestration.dying_flow import order
from tests.orchestration.scrapes import CLASSES, PER_CLASS, Draw, scrape_config, scraped_pictures
from tests.orchestration.service import REPOSITORY, SECRETS, Service, running_server, running_worker, wait_for

pytestmark = pytest.mark.slow

POOL = "purify"
#: Each minute: the shortest that five fields can say.
OFTEN = "* * * * *"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture(scope="module")
def worker(service: Service) -> Iterator[None]:
    with running_worker(service, POOL):
        yield


@dataclasses.dataclass(frozen=True)
class Judged:
    """A table and embeddings: a run on them takes a second."""

    table: Path
    embeddings: Path

    def request(self, folder: Path) -> RunRequest:
        return RunRequest(str(self.table), str(folder), PurifyConfig(), str(self.embeddings))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("judged")
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(32, 6)))[0].T
    labels = np.repeat(np.arange(6), 30)
    true = np.where(np.arange(180) % 10 == 0, (labels + 1) % 6, labels)
    vectors = (directions[true] + 0.1 * rng.normal(size=(180, 32))).astype(np.float32)
    paths = [f"{label}/{number}.png" for number, label in enumerate(labels)]
    named = {"path": paths, "label": [f"p{i}" for i in labels], "true_label": [f"p{i}" for i in true]}
    pq.write_table(pa.table(named), folder / "table.parquet")
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 32)
    pq.write_table(pa.table({"path": paths, "embedding": column}), folder / "embeddings.parquet")
    return Judged(folder / "table.parquet", folder / "embeddings.parquet")


def deploy(service: Service, request: RunRequest, name: str, **when: Any) -> None:
    from purify.orchestration.deployments import Timetable, deployment_of, prepare_server

    prepare_server(pool=POOL)
    deployment_of(request, name, Timetable(**when), pool=POOL).apply()


def runs_of(service: Service, deployment: str) -> list[Any]:
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    with service.client() as client:
        return client.read_flow_runs(
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[deployment])), limit=200
        )


def test_a_schedule_fires_by_itself_and_what_came_between_two_firings_is_embedded_alone(
    service: Service, worker: None, draw_stripes: Draw, tmp_path: Path
) -> None:
    """With a wrong SQLAlchemy, the server never makes a scheduled run, and says so only in its log."""
    draw, run = scraped_pictures(draw_stripes), RunFolder(tmp_path / "run")
    for label in range(CLASSES):
        draw(tmp_path / "faces", label, range(PER_CLASS))
    request = RunRequest(str(tmp_path / "faces"), str(run.root), scrape_config())
    deploy(service, request, "nightly", cron=OFTEN)
    planned = wait_for(lambda: runs_of(service, "nightly"), what="runs that the server schedules")
    assert all(run.auto_scheduled for run in planned)
    assert any(run.state.is_scheduled() for run in planned)

    def growth() -> dict[str, Any]:
        return read_json(run.info).get("growth", {}) if run.info.exists() else {}

    wait_for(lambda: growth().get("finished"), what="the first firing")
    assert growth()["embedded"] == CLASSES * PER_CLASS
    with run.lock(when_busy=lambda _: None):  # between two runs
        verdicts = read_table(run.verdicts, VERDICTS).to_pylist()
        chosen = next(row["sample_id"] for row in verdicts if row["decision"] == "keep")
        rows = [{"sample_id": chosen, "decision": "drop", "reviewer": "ann"}]
        write_table(pa.Table.from_pylist(rows, schema=REVIEWS), run.reviews)
        for label in range(CLASSES):
            draw(tmp_path / "faces", label, range(PER_CLASS, PER_CLASS + 5))
    wait_for(lambda: growth().get("finished") and growth().get("new") == 20, what="the firing after")
    assert growth()["embedded"] == 20
    removed = {row["sample_id"]: row["reason"] for row in read_table(run.removed, REMOVED).to_pylist()}
    assert removed[chosen] == "reviewed"
    assert run.cleaned.exists()

    def completed() -> bool:
        return sum(run.state.is_completed() for run in runs_of(service, "nightly")) > 1

    wait_for(completed, what="two completed runs of the schedule")
    with service.client() as client:  # the other tests have the worker for themselves
        client.delete_deployment(client.read_deployment_by_name("purify/nightly").id)


@pytest.fixture(scope="module")
def people(service: Service, judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the run of ``purify/people``, deployed by the command."""
    out = tmp_path_factory.mktemp("out")
    arguments = ["deploy", judged.table, "--embeddings", judged.embeddings, "--out", out, "--name", "people", "--json"]
    answer = purify(service, arguments)
    assert answer.returncode == 0, answer.stderr
    deployed = json.loads(answer.stdout)
    assert deployed["deployment"] == "purify/people"
    assert deployed["run_folder"] == str(out / "people")
    return out / "people"


@pytest.fixture(scope="module")
def shown(service: Service, worker: None, people: Path) -> tuple[Any, dict[str, Any]]:
    """A run of ``purify/people`` that was triggered through the API, and its artifacts."""
    run = service.finished(service.trigger("people"))
    assert run.state.is_completed(), run.state.message
    return run, service.artifacts(run.id)


def test_a_triggered_run_shows_all_of_itself(shown: tuple[Any, dict[str, Any]], people: Path) -> None:
    run, artifacts = shown
    assert {"purify", "people"} <= set(run.tags)
    assert {"purify-summary", "purify-worst-labels", "purify-report", "purify-report-file"} <= set(artifacts)
    figures = {row["figure"]: row["value"] for row in json.loads(artifacts["purify-summary"].data)}
    assert figures["rows"] == 180
    assert figures["noise_estimate"] == pytest.approx(0.1, abs=0.05)
    page = artifacts["purify-report"].data
    assert "images kept**" in page
    assert "data:image/png;base64," in page
    assert (people / "report.html").as_uri() in artifacts["purify-report-file"].data


def purify(service: Service, arguments: list[Any], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "purify", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**service.environment, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_form_explains_every_parameter(service: Service, people: Path) -> None:
    with service.client() as client:
        schema = client.read_deployment_by_name("purify/people").parameter_openapi_schema
    assert [
        schema["properties"][name]["title"] for name in ("source", "run_folder", "config", "embeddings", "changes")
    ] == [
        "Source",
        "Run folder",
        "Configuration",
        "Embeddings",
        "Changes for this run",
    ]
    assert all(parameter["description"] for parameter in schema["properties"].values())
    sections = {name: section for name, section in schema["definitions"].items() if name != "PurifyConfig"}
    silent = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, field in section["properties"].items()
        if not field.get("title") or not field.get("description")
    ]
    assert silent == []
    assert schema["definitions"]["AnalyzeConfig"]["properties"]["rule"]["enum"] == ["calibrated", "official", "paper"]


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"config": {"train": {"subcenters": 99}}}, "99 is greater than the maximum of 16"),
        ({"config": {"train": {"epoch": 3}}}, "epoch"),
        ({"source": "s3://user:password@bucket/faces"}, "does not match"),
    ],
)
def test_the_server_refuses_bad_parameters(
    service: Service, people: Path, parameters: dict[str, Any], word: str
) -> None:
    with pytest.raises(Exception, match=word):
        service.trigger("people", **parameters)


def test_two_triggers_at_once_run_one_after_the_other(
    service: Service, worker: None, judged: Judged, tmp_path: Path
) -> None:
    deploy(service, judged.request(tmp_path / "run"), "twice")
    identifiers = [service.trigger("twice"), service.trigger("twice")]
    runs = sorted((service.finished(identifier) for identifier in identifiers), key=lambda run: run.start_time)
    assert [run.state.name for run in runs] == ["Completed", "Completed"]
    assert runs[0].end_time <= runs[1].start_time


def test_a_scheduled_run_waits_for_a_command_on_the_same_folder(
    service: Service, worker: None, judged: Judged, tmp_path: Path
) -> None:
    deploy(service, judged.request(tmp_path / "run"), "busy")
    with RunFolder(tmp_path / "run").lock():
        identifier = service.trigger("busy")
        wait_for(lambda: "waiting for its end" in service.logs(identifier), what="the run that waits")
        assert service.flow_run(identifier).state.is_running()
        refused = purify(service, ["run-flow", "--resume", tmp_path / "run"])
        assert refused.returncode == 2
    assert service.finished(identifier).state.is_completed()


def test_a_failure_says_what_to_do(service: Service, worker: None, judged: Judged, tmp_path: Path) -> None:
    deploy(service, judged.request(tmp_path / "run"), "failing")
    missing = str(tmp_path / "nowhere.parquet")
    run = service.finished(service.trigger("failing", source=missing))
    assert run.state.is_failed()
    assert run.state.message.startswith(missing)
    assert "Traceback" not in run.state.message + service.logs(run.id)
    relative = service.finished(service.trigger("failing", run_folder="runs/x"))
    assert relative.state.message == "runs/x: a scheduled run needs full paths, such as /data/faces"


def test_killed_in_each_task_in_turn_the_next_run_goes_on(
    service: Service, worker: None, noisy_set: NoisySet, tmp_path: Path
) -> None:
    """The worker's child dies as by ``kill -9``; one run folder, a kill in each task, then a run that ends."""
    config = noisy_set.config()
    update = {
        "evaluate": config.evaluate.model_copy(update={"pairs": None}),
        "retrain": config.retrain.model_copy(update={"enabled": False}),
    }
    request = RunRequest(str(noisy_set.table), str(tmp_path / "killed"), config.model_copy(update=update))
    run, undisturbed = RunFolder(tmp_path / "killed"), RunFolder(tmp_path / "undisturbed")
    deploy_as(service, request, "killed", entrypoint="tests.orchestration.dying_flow.purify_flow")
    for task in ("ingest", "train-round", "embed", "analyze", "apply", "report"):
        order(run.root, task).touch()
        ended = service.finished(service.trigger("killed"))
        assert ended.state.is_crashed(), ended.state
        assert not order(run.root, task).exists()
    first_trained = (run.round(1).checkpoint / "model.safetensors").stat().st_mtime_ns
    assert service.finished(service.trigger("killed")).state.is_completed()
    assert (run.round(1).checkpoint / "model.safetensors").stat().st_mtime_ns == first_trained
    again = service.finished(service.trigger("killed", run_folder=str(undisturbed.root)))
    assert again.state.is_completed(), again.state.message
    for name in ("manifest", "embeddings", "verdicts", "class_report", "cleaned", "removed", "labels"):
        assert getattr(run, name).read_bytes() == getattr(undisturbed, name).read_bytes(), name


def deploy_as(service: Service, request: RunRequest, name: str, *, entrypoint: str) -> None:
    from purify.orchestration.deployments import Timetable, deployment_of, prepare_server

    prepare_server(pool=POOL)
    deployment = deployment_of(request, name, Timetable(), pool=POOL)
    deployment.entrypoint = entrypoint
    deployment.apply()


def test_the_shipped_file_deploys_what_the_command_does(
    service: Service, worker: None, judged: Judged, tmp_path: Path
) -> None:
    """But for the flow's place: the file names this checkout's, the command that of the installed package."""
    request = dataclasses.replace(judged.request(tmp_path / "nightly"), config=PurifyConfig())
    text = (REPOSITORY / "prefect.yaml").read_text()
    for placeholder, path in {
        "/data/faces.parquet": request.source,
        "/data/runs/faces": request.run_folder,
        "name: faces": "name: from-file",
    }.items():
        assert placeholder in text
        text = text.replace(placeholder, path)
    file = tmp_path / "prefect.yaml"
    file.write_text(text)
    answer = purify(service, ["deploy", "--file", file])
    assert answer.returncode == 0, answer.stderr
    deploy(service, request, "from-command", cron="0 2 * * *")
    with service.client() as client:
        stored = [client.read_deployment_by_name(f"purify/from-{origin}") for origin in ("file", "command")]
    ours = [
        (
            entry.global_concurrency_limit.limit,
            entry.concurrency_options.collision_strategy,
            entry.work_pool_name,
            entry.job_variables,
            entry.enforce_parameter_schema,
            {tag for tag in entry.tags if not tag.startswith("from-") and tag != "faces"},
            [(schedule.schedule.cron, schedule.schedule.timezone, schedule.active) for schedule in entry.schedules],
        )
        for entry in stored
    ]
    assert ours[0] == ours[1]
    here = {"prefect.deployments.steps.set_working_directory": {"directory": str(REPOSITORY)}}
    assert (stored[0].entrypoint, stored[0].pull_steps) == ("flows/purify_flow.py:purify_flow", [here])
    assert (stored[1].entrypoint, stored[1].pull_steps) == (ENTRYPOINT, [])
    for origin in ("file", "command"):
        run = service.finished(service.trigger(f"from-{origin}", embeddings=str(judged.embeddings)))
        assert run.state.is_completed(), run.state.message


@pytest.mark.parametrize("former", ["flows.purify_flow.purify_flow", "flows.purify_flow:purify_flow"])
def test_a_deployment_of_the_release_before_goes_on_after_the_next_deploy(
    former: str, service: Service, worker: None, judged: Judged, tmp_path: Path
) -> None:
    """The package ``flows`` that it names is not installed any more; another flow of that name is left alone."""
    from prefect import flow

    name = f"former-{len(former.split(':'))}"
    deploy_as(service, judged.request(tmp_path / "run"), name, entrypoint=former)
    others = flow(name="purify")(lambda people: people).to_deployment("others", parameters={"people": 3})
    others.entrypoint = former
    others.apply()
    with service.client() as client:
        before = client.read_deployment_by_name(f"purify/{name}")
        assert before.entrypoint == former
        answer = purify(service, ["deploy", judged.table, "--out", tmp_path, "--name", "unrelated", "--json"])
        assert answer.returncode == 0, answer.stderr
        after = client.read_deployment_by_name(f"purify/{name}")
        assert client.read_deployment_by_name("purify/others").entrypoint == former
    assert after.entrypoint == ENTRYPOINT
    assert "changes" in after.parameter_openapi_schema["properties"]
    kept = ("parameters", "tags", "work_pool_name", "job_variables", "concurrency_options", "description", "paused")
    assert {key: getattr(after, key) for key in kept} == {key: getattr(before, key) for key in kept}
    run = service.finished(service.trigger(name))
    assert run.state.is_completed(), run.state.message


def test_changes_are_for_one_run_and_leave_the_rest_of_the_configuration(
    service: Service, worker: None, judged: Judged, tmp_path: Path
) -> None:
    """By the command of the docs."""
    run = RunFolder(tmp_path / "run")
    config = PurifyConfig.model_validate({"analyze": {"neighbors": 7}, "retrain": {"enabled": False}})
    deploy(service, dataclasses.replace(judged.request(run.root), config=config), "changing")
    command = ["-m", "prefect", "deployment", "run", "purify/changing", "--param"]
    subprocess.run(
        [sys.executable, *command, 'changes={"seed": 1, "analyze": {"min_images": 3}}'],
        env=service.environment,
        capture_output=True,
        check=True,
    )
    (triggered,) = runs_of(service, "changing")
    assert service.finished(triggered.id).state.is_completed()
    used = PurifyConfig.model_validate(read_json(run.info)["config"])
    assert (used.seed, used.analyze.min_images) == (1, 3)
    assert (used.analyze.neighbors, used.retrain.enabled) == (7, False)
    refused = service.finished(service.trigger("changing", changes={"train": {"epoch": 3}}))
    assert refused.state.is_failed()
    assert "train.epoch" in refused.state.message


def test_a_configuration_that_drops_the_images_of_a_run_is_refused(
    service: Service, worker: None, draw_stripes: Draw, tmp_path: Path
) -> None:
    """``--param config={"seed": 1}`` replaces all of a deployment's configuration."""
    run, rows, rng = RunFolder(tmp_path / "run"), [], np.random.default_rng(0)
    for number in range(30):
        rows.append(f"{number % 3}/{number}.png,p{number % 3}\n")
        draw_stripes(tmp_path / "images" / rows[-1].partition(",")[0], float(number % 3), rng)
    (tmp_path / "table.csv").write_text("".join(["path,label\n", *rows]))
    paths = [row.partition(",")[0] for row in rows]
    vectors = np.eye(3, 16)[np.arange(30) % 3] + 0.1 * rng.normal(size=(30, 16))
    pq.write_table(pa.table({"path": paths, "embedding": list(vectors)}), tmp_path / "vectors.parquet")
    roots = {"ingest": {"images": [str(tmp_path / "images")]}, "retrain": {"enabled": False}}
    config, given = PurifyConfig.model_validate(roots), str(tmp_path / "vectors.parquet")
    deploy(service, RunRequest(str(tmp_path / "table.csv"), str(run.root), config, given), "pictured")
    first = service.finished(service.trigger("pictured"))
    assert first.state.is_completed(), first.state.message
    before = run.manifest.read_bytes(), run.verdicts.read_bytes()
    refused = service.finished(service.trigger("pictured", config={"seed": 1}))
    assert refused.state.is_failed()
    assert "this run was made with the image roots" in refused.state.message
    assert "`changes`" in refused.state.message
    assert (run.manifest.read_bytes(), run.verdicts.read_bytes()) == before
    assert read_json(run.info)["seed"] == 0
    assert service.finished(service.trigger("pictured", changes={"seed": 1})).state.is_completed()
    assert read_json(run.info)["seed"] == 1
    assert set(read_table(run.manifest, MANIFEST)["width"].to_pylist()) == {32}


def test_a_run_lost_on_the_same_folder_is_closed_by_the_next(service: Service, judged: Judged, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    begin = [judged.table, "--embeddings", judged.embeddings, "--out", tmp_path, "--name", run.root.name]
    assert purify(service, ["run-flow", *begin]).returncode == 0
    lost = running_flow_run(service)
    run.update_info(flow_run=str(lost))
    answer = purify(service, ["run-flow", "--resume", run.root])
    assert answer.returncode == 0, answer.stderr
    state = service.flow_run(lost).state
    assert state.is_crashed()
    assert "a later run resumed its work" in state.message
    assert read_json(run.info)["flow_run"] != str(lost)


def running_flow_run(service: Service) -> UUID:
    """A flow run that is left running, as by a process that was killed."""
    from prefect.states import Running

    from purify.orchestration.flow import purify_flow

    with service.client() as client:
        run = client.create_flow_run(purify_flow, parameters={"source": "x", "run_folder": "y"}, state=Running())
        return UUID(str(run.id))


async def send(event: Any) -> None:
    """Not by the process's own queue of events, which stays with the first server that it saw."""
    from prefect.events.clients import get_events_client

    async with get_events_client() as events:
        await events.emit(event)


def test_a_silent_run_is_closed_by_the_automation(service: Service) -> None:
    """The heartbeat that the engine would send is sent here; then there is silence."""
    from prefect.events import Event, RelatedResource, Resource

    from purify.orchestration.lost_runs import AUTOMATION, close_silent_runs

    assert close_silent_runs() == close_silent_runs()  # done again, it is the same one
    automation = close_silent_runs(timedelta(seconds=10))
    lost = running_flow_run(service)
    flow = service.flow_run(lost).flow_id
    related = {"prefect.resource.id": f"prefect.flow.{flow}", "prefect.resource.role": "flow"}
    related["prefect.resource.name"] = "purify"
    time.sleep(2)  # the server loads a changed automation
    heartbeat = Event(
        event="prefect.flow-run.heartbeat",
        resource=Resource({"prefect.resource.id": f"prefect.flow-run.{lost}"}),
        related=[RelatedResource(related)],
    )
    asyncio.run(send(heartbeat))
    state = service.finished(lost).state
    assert state.is_crashed()
    assert "no heartbeat" in state.message
    with service.client() as client:
        assert [found.id for found in client.read_automations_by_name(AUTOMATION)] == [automation]
    close_silent_runs()


def test_serve_runs_what_is_triggered_in_its_own_process(service: Service, judged: Judged, tmp_path: Path) -> None:
    from tests.orchestration.service import process

    command = [sys.executable, "-m", "purify", "serve", judged.table, "--embeddings", judged.embeddings]
    command += ["--out", tmp_path, "--name", "served", "--interval", "1d"]
    with process([str(word) for word in command], service.environment, tmp_path / "serve.log"):
        wait_for(lambda: "purify/served" in (tmp_path / "serve.log").read_text(), what="the served deployment")
        assert service.finished(service.trigger("served")).state.is_completed()
    with service.client() as client:
        deployment = client.read_deployment_by_name("purify/served")
    assert deployment.paused or not any(schedule.active for schedule in deployment.schedules)


def test_nobody_gets_in_without_the_password_and_none_is_told(service: Service, judged: Judged, tmp_path: Path) -> None:
    refused = purify(service, ["deploy", judged.table, "--out", tmp_path], PREFECT_API_AUTH_STRING="admin:wrong")
    assert refused.returncode == 1
    assert "PREFECT_API_AUTH_STRING" in refused.stderr
    assert "Traceback" not in refused.stderr
    stored = service.database + b"".join(path.read_bytes() for path in service.home.glob("*.log"))
    assert b"purify-summary" in stored
    for secret in SECRETS.values():
        assert secret.encode() not in stored
        assert secret.rpartition(":")[2].encode() not in stored


def test_the_server_listens_on_the_loopback_interface_alone(service: Service) -> None:
    port = int(service.url.removesuffix("/api").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {line[1] for line in table if line[3] == "0A" and line[1].endswith(f":{port:04X}")}
    assert listening == {f"0100007F:{port:04X}"}
    assert not any(line.split()[1].endswith(f":{port:04X}") for line in Path("/proc/net/tcp6").read_text().splitlines())


def test_a_schedule_needs_a_server_that_stays(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    answer = subprocess.run(
        [sys.executable, "-m", "purify", "deploy", "--out", str(tmp_path)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert "prefect server start" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_pages_show_in_a_browser(service: Service, shown: tuple[Any, dict[str, Any]], browser: Browser) -> None:
    """Behind the password. The last test here that uses the server: Prefect's client refuses the browser's loop."""
    run, artifacts = shown
    root = service.url.removesuffix("/api")
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(root, wait_until="domcontentloaded")
    password = page.get_by_placeholder("Password").or_(page.locator("input[type=password]")).first
    password.fill(SECRETS["PREFECT_API_AUTH_STRING"])
    page.keyboard.press("Enter")
    password.wait_for(state="hidden")
    page.goto(f"{root}/v2/runs/flow-run/{run.id}?tab=Artifacts", wait_until="domcontentloaded")
    page.get_by_text("purify-report", exact=True).first.wait_for()
    page.goto(f"{root}/v2/artifacts/artifact/{artifacts['purify-report'].id}", wait_until="domcontentloaded")
    histogram = page.locator("img[src^='data:image/png']").first
    histogram.wait_for()
    assert histogram.evaluate("image => image.naturalWidth") > 400
    assert "images kept" in page.inner_text("body")
    page.close()
