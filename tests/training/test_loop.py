from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

from purify.config import ModelConfig, PurifyConfig, TrainConfig
from purify.errors import InputError, PurifyError, TrainingCollapsedError
from purify.images.loading import resolve_workers
from purify.models.checkpoint import Checkpoint, load_checkpoint
from purify.training.job import TrainJob
from purify.training.launcher import run_job
from purify.training.loop import train
from purify.training.rank import train_rank
from purify.training.rendezvous import rank_environments
from purify.training.resume_file import ResumeFile
from purify.training.schedule import make_schedule
from purify.training.training_set import TrainingSet


def _set(table: Path) -> TrainingSet:
    return TrainingSet.of_table(pq.read_table(table), name="table")


def _equal(a: Checkpoint, b: Checkpoint) -> bool:
    return torch.equal(a.head_weight, b.head_weight) and all(
        torch.equal(tensor, b.backbone_state[name]) for name, tensor in a.backbone_state.items()
    )


class _StopAt:
    """A progress that interrupts at a step."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.first: int | None = None

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        self.first = self.first or done
        if done == self.step:
            raise KeyboardInterrupt


def test_learns_patterns_and_keeps_the_label_order(
    pattern_table: Path, model: ModelConfig, recipe: TrainConfig
) -> None:
    data = _set(pattern_table)
    longer = recipe.model_copy(update={"min_steps": 60})
    checkpoint = train(data, model, longer, subcenters=3, seed=0)
    assert checkpoint.labels == tuple(f"class {i}" for i in range(6))
    assert checkpoint.head_weight.shape == (6, 3, 16)
    assert checkpoint.subcenters == 3


def test_seed_decides_the_weights(pattern_table: Path, model: ModelConfig, recipe: TrainConfig) -> None:
    data = _set(pattern_table)
    first, again, other = (train(data, model, recipe, subcenters=2, seed=seed) for seed in (1, 1, 2))
    assert _equal(first, again)
    assert not _equal(first, other)


@pytest.mark.parametrize("step", [3, 13])
def test_interrupted_before_and_after_growth_ends_in_the_same_bits(
    pattern_table: Path, model: ModelConfig, recipe: TrainConfig, tmp_path: Path, step: int
) -> None:
    data, resume = _set(pattern_table), ResumeFile(tmp_path / "resume.safetensors", "mine")
    undisturbed = train(data, model, recipe, subcenters=3, seed=5)
    with pytest.raises(KeyboardInterrupt):
        train(data, model, recipe, subcenters=3, seed=5, resume=resume, progress=_StopAt(step))
    assert resume.path.exists()
    steps: list[int] = []
    resumed = train(
        data,
        model,
        recipe,
        subcenters=3,
        seed=5,
        resume=resume,
        progress=lambda done, *_: steps.append(done),
    )
    assert steps[0] == step
    assert _equal(undisturbed, resumed)


def test_order_of_rows_and_names_of_labels_change_no_weight(
    pattern_table: Path, model: ModelConfig, recipe: TrainConfig
) -> None:
    table = pq.read_table(pattern_table)
    order = np.random.default_rng(0).permutation(len(table))
    renamed = [f"{9 - int(label.split()[1])} was" for label in table["label"].to_pylist()]  # sorts the other way round
    other = table.set_column(table.column_names.index("label"), "label", [renamed]).take(order)
    first, second = (
        train(TrainingSet.of_table(rows, name="table"), model, recipe, subcenters=3, seed=1) for rows in (table, other)
    )
    assert _equal(first, second)
    assert second.labels == tuple(f"{9 - int(label.split()[1])} was" for label in first.labels)


def test_the_mean_of_the_weights_is_saved(pattern_table: Path, model: ModelConfig, recipe: TrainConfig) -> None:
    data = _set(pattern_table)
    plain, short, long = (
        train(data, model, recipe.model_copy(update={"ema": ema}), subcenters=2, seed=1) for ema in (None, 1e-9, 0.99)
    )
    assert torch.allclose(plain.head_weight, short.head_weight, atol=1e-6)  # a mean of the last step alone
    assert not torch.allclose(plain.head_weight, long.head_weight, atol=1e-3)
    assert (
        plain.extra["epoch_losses"] == long.extra["epoch_losses"]
    )  # it follows the training, and changes nothing in it


@pytest.fixture
def sampled(recipe: TrainConfig) -> TrainConfig:
    """Some of the six classes are not in a batch of eight; one of those competes."""
    return recipe.model_copy(update={"batch_size": 8, "min_steps": 120, "sample_rate": 0.2})


def test_a_sampled_head_learns_and_is_saved_whole(
    pattern_table: Path, model: ModelConfig, sampled: TrainConfig
) -> None:
    data = _set(pattern_table)
    first, again = (train(data, model, sampled, subcenters=3, seed=1) for _ in range(2))
    assert first.head_weight.shape == (6, 3, 16)
    assert _equal(first, again)
    dense = train(data, model, sampled.model_copy(update={"sample_rate": 1.0}), subcenters=3, seed=1)
    assert not _equal(first, dense)


@pytest.mark.parametrize("step", [7, 71])
def test_a_sampled_training_resumes_to_the_same_bits_with_the_momentum_of_all_rows(
    pattern_table: Path, model: ModelConfig, sampled: TrainConfig, tmp_path: Path, step: int
) -> None:
    data, resume = _set(pattern_table), ResumeFile(tmp_path / "resume.safetensors", "mine")
    undisturbed = train(data, model, sampled, subcenters=2, seed=5)
    with pytest.raises(KeyboardInterrupt):
        train(data, model, sampled, subcenters=2, seed=5, resume=resume, progress=_StopAt(step))
    with safe_open(resume.path, framework="pt") as file:
        shape = file.get_tensor("head.weight").shape
        assert file.get_tensor("momentum.head.weight").shape == shape
        assert shape[0] == 6
    assert _equal(undisturbed, train(data, model, sampled, subcenters=2, seed=5, resume=resume))


def test_the_negative_filter_reaches_the_head(pattern_table: Path, model: ModelConfig, recipe: TrainConfig) -> None:
    data = _set(pattern_table)
    plain, idle, filtered = (
        train(data, model, recipe.model_copy(update={"negative_filter": value}), subcenters=2, seed=1)
        for value in (None, 1.0, 0.5)
    )
    assert _equal(plain, idle)
    assert not _equal(plain, filtered)


def test_a_resume_point_of_another_recipe_or_a_damaged_one_is_not_continued(
    pattern_table: Path, model: ModelConfig, recipe: TrainConfig, tmp_path: Path
) -> None:
    data, resume = _set(pattern_table), ResumeFile(tmp_path / "resume.safetensors", "mine")

    def first_step(file: ResumeFile, *, stop_at: int = 1, **settings: str) -> int | None:
        stop = _StopAt(stop_at)
        other = recipe.model_copy(update=settings)
        with pytest.raises(KeyboardInterrupt):
            train(data, model, other, subcenters=1, seed=0, resume=file, progress=stop)
        return stop.first

    def saved() -> bytes:
        resume.path.unlink(missing_ok=True)
        assert first_step(resume, stop_at=5) == 1
        return resume.path.read_bytes()

    point = saved()
    assert first_step(resume, stop_at=5) == 5  # the same: continued
    resume.path.write_bytes(point)
    assert first_step(ResumeFile(resume.path, "another's")) == 1
    resume.path.write_bytes(point)
    assert first_step(resume, precision="float64") == 1
    resume.path.write_bytes(point[:100])
    assert first_step(resume) == 1


def test_noise_without_signal_is_called_collapse(pattern_table: Path, model: ModelConfig, recipe: TrainConfig) -> None:
    data = _set(pattern_table)
    shuffled = TrainingSet(
        data.sample_ids, data.uris, data.labels, np.random.default_rng(3).permutation(data.label_index)
    )
    brief = recipe.model_copy(update={"min_steps": 0, "epochs": 2, "margin": 0.5})
    with pytest.raises(TrainingCollapsedError):
        train(shuffled, model, brief, subcenters=3, seed=0)


def test_one_label_is_refused(pattern_table: Path, model: ModelConfig, recipe: TrainConfig) -> None:
    data = _set(pattern_table)
    single = TrainingSet.from_columns(data.sample_ids, data.uris, ["a"] * len(data.uris))
    with pytest.raises(InputError, match="at least two"):
        train(single, model, recipe, subcenters=1, seed=0)


def test_an_image_that_vanished_is_named(
    pattern_table: Path, model: ModelConfig, recipe: TrainConfig, tmp_path: Path
) -> None:
    data = _set(pattern_table)
    uris = [*data.uris[:-1], (tmp_path / "gone.png").as_uri()]
    broken = TrainingSet(data.sample_ids, uris, data.labels, data.label_index)
    with pytest.raises(InputError, match=str(data.sample_ids[-1])):
        train(broken, model, recipe, subcenters=1, seed=0)


def _job(table: Path, folder: Path, model: ModelConfig, recipe: TrainConfig) -> TrainJob:
    config = PurifyConfig(model=model, train=recipe, seed=2)
    job = TrainJob.of(config, table=table, folder=folder, subcenters=3, fingerprint="a test's")
    return replace(job, threads=1)


@pytest.mark.slow
def test_killed_at_random_steps_a_job_resumes_to_the_same_file(
    pattern_table: Path, model: ModelConfig, recipe: TrainConfig, tmp_path: Path
) -> None:
    options = {"accumulate": 2, "batch_size": 4, "ema": 0.9, "clip_norm": 1.0, "sample_rate": 0.2}
    recipe = recipe.model_copy(update={"min_steps": 120, "schedule": "polynomial", **options})
    train_job = _job(pattern_table, tmp_path / "killed", model, recipe)
    spec = tmp_path / "job.json"
    train_job.write(spec)
    resume = tmp_path / "killed" / "resume.safetensors"
    rng = np.random.default_rng(4)
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-m", "purify.training.rank", str(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        before = resume.stat().st_mtime_ns if resume.exists() else 0
        while not (resume.exists() and resume.stat().st_mtime_ns > before):
            assert child.poll() is None
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.2))
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not (tmp_path / "killed" / "checkpoint").exists()
    run_job(train_job)
    run_job(_job(pattern_table, tmp_path / "whole", model, recipe))
    files = [tmp_path / name / "checkpoint" / "model.safetensors" for name in ("killed", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert not resume.exists()
    assert load_checkpoint(files[0].parent).extra["images"] == 96


def test_a_job_ends_with_its_parent(
    pattern_table: Path, model: ModelConfig, recipe: TrainConfig, tmp_path: Path
) -> None:
    spec = tmp_path / "job.json"
    endless = recipe.model_copy(update={"epochs": 10_000})
    _job(pattern_table, tmp_path / "out", model, endless).write(spec)
    child = subprocess.Popen(
        [sys.executable, "-m", "purify.training.rank", str(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(timeout=30) == 1


def test_a_jobs_error_arrives_as_itself(
    model: ModelConfig, recipe: TrainConfig, tmp_path: Path, pattern_table: Path
) -> None:
    table = pq.read_table(pattern_table)
    one = table.filter([label == "class 0" for label in table["label"].to_pylist()])
    pq.write_table(one, tmp_path / "one.parquet")
    with pytest.raises(InputError, match="at least two images"):
        run_job(_job(tmp_path / "one.parquet", tmp_path / "out", model, recipe))
    assert not (tmp_path / "out" / "checkpoint").exists()


def test_a_job_that_dies_is_explained(
    pattern_table: Path,
    model: ModelConfig,
    recipe: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(PurifyError, match="exit code 1"):
        run_job(_job(pattern_table, tmp_path / "out", model, recipe))


def test_a_job_is_that_of_the_configuration(tmp_path: Path, model: ModelConfig, recipe: TrainConfig) -> None:
    config = PurifyConfig(model=model, train=recipe, seed=7)
    job = TrainJob.of(config, table=tmp_path / "t.parquet", folder=tmp_path, subcenters=2, fingerprint="f")
    job.write(tmp_path / "job.json")
    read = TrainJob.read(tmp_path / "job.json")
    assert (read.model_config, read.recipe, read.subcenters, read.seed) == (model, recipe, 2, 7)
    assert (read.table, read.folder, read.fingerprint) == (str(tmp_path / "t.parquet"), str(tmp_path), "f")
    assert read.threads == max(1, resolve_workers(0) // recipe.parallel)


@pytest.mark.parametrize(("threads", "processes", "each"), [(2, 1, 2), (2, 4, 2), (0, 1, 8), (0, 4, 2), (0, 16, 1)])
def test_compute_threads_depend_on_the_cores_only_where_asked(threads: int, processes: int, each: int) -> None:
    train = TrainConfig(threads=threads, processes=processes).model_dump()
    job = TrainJob(table="t", folder="f", model={}, train=train, subcenters=1, seed=0, threads=8)
    assert job.threads_per_rank == each


def test_without_a_fingerprint_no_resume_point_is_written(
    pattern_table: Path, model: ModelConfig, recipe: TrainConfig, tmp_path: Path
) -> None:
    config = PurifyConfig(model=model, train=recipe)
    job = TrainJob.of(config, table=pattern_table, folder=tmp_path / "out", subcenters=1)
    seen: list[list[str]] = []
    train_rank(job, lambda *_: seen.append(sorted(path.name for path in (tmp_path / "out").iterdir())))
    assert seen == [[]] * 24
    assert load_checkpoint(tmp_path / "out" / "checkpoint").subcenters == 1


def test_progress_says_why_the_loss_rises_while_the_margin_grows(
    pattern_table: Path, model: ModelConfig, recipe: TrainConfig
) -> None:
    texts: list[str] = []
    train(_set(pattern_table), model, recipe, subcenters=2, seed=0, progress=lambda *a: texts.append(a[2]))
    schedule = make_schedule(recipe, samples=96)
    growing = [0 < schedule.margin_share_at(step) < 1 for step in range(len(texts))]
    assert [", margin at " in text for text in texts] == growing
    assert 0 < sum(growing) < len(texts) / 2
    assert texts[13].endswith("images/s, margin at 17%: the loss rises with it, as it should")


def test_stage_needs_ingested_rows(
    tmp_path: Path, model: ModelConfig, recipe: TrainConfig, pattern_table: Path
) -> None:
    table = pq.read_table(pattern_table).to_pylist()
    for row in table:
        row["uri"] = None
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(table), tmp_path / "plain.parquet")
    with pytest.raises(InputError, match="purify ingest"):
        run_job(_job(tmp_path / "plain.parquet", tmp_path / "out", model, recipe))


def test_the_processes_of_a_training_keep_freed_memory_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, recipe: TrainConfig, tmp_path: Path
) -> None:
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    (environment,) = rank_environments(recipe, threads=3, meeting=tmp_path / "meeting")
    assert environment["MALLOC_MMAP_THRESHOLD_"] == str(32 << 20)
    assert environment["MALLOC_TRIM_THRESHOLD_"] == "65536"
    assert environment["OMP_NUM_THREADS"] == "3"


def test_a_limit_of_openmps_threads_does_not_stop_a_training(
    monkeypatch: pytest.MonkeyPatch, pattern_table: Path, model: ModelConfig, recipe: TrainConfig, tmp_path: Path
) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    wide = model.model_copy(update={"input_size": 64})  # large enough for PyTorch to want its threads
    job = _job(pattern_table, tmp_path, wide, recipe.model_copy(update={"threads": 2}))
    run_job(job)
    assert (tmp_path / "checkpoint").is_dir()
