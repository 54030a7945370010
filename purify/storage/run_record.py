"""What ``run.json``, ``evaluation.json`` and the records of stages must hold for the code that reads them.

Files of other versions may lack entries or have more: those are left as they are. An entry of another type than the
reader expects, or the form of a later release, is refused here, by name, and not by a traceback later.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from purify.errors import InputError
from purify.storage.files import read_json

#: Form of ``run.json``; raised when an older release would misread it.
RUN_FORMAT = 1
_SHOWN = 3


class _Part(BaseModel):
    """Entries with their types, of which any but the required may be missing; further ones are allowed."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Ingest(_Part):
    images: list[str] | None = None


class _Analyze(_Part):
    rule: str = ""
    threshold: float = 75.0


class _Retrain(_Part):
    enabled: bool = True


class _Evaluate(_Part):
    pairs: str | None = None


class _Embeddings(_Part):
    columns: dict[str, str] | None = None


class _Config(_Part):
    ingest: _Ingest = _Ingest()
    analyze: _Analyze = _Analyze()
    retrain: _Retrain = _Retrain()
    evaluate: _Evaluate = _Evaluate()
    embeddings: _Embeddings = _Embeddings()


class _Round(_Part):
    round: int = Field(ge=1, le=1000)
    noise_estimate: float | None
    kept: int = Field(ge=0)
    removed: int = Field(ge=0)
    changed: int | None
    stopped_because: str | None


class _Counts(_Part):
    rows: int = 0
    ok: int
    not_ok: int
    cleaned: int
    removed: int


class _Update(_Part):
    update: int = 1
    finished: bool = False
    nothing_new: bool = False
    new: int = 0
    changed: int = 0
    gone: int = 0
    embedded: int = 0
    embedded_by_stage: dict[str, int] = {}
    new_since_training: int = 0
    new_share: float = 0.0
    drift_degrees: float | None = None
    trained: bool = False
    choosing: bool = False
    because: str | None = None
    why: str = ""
    trained_on: dict[str, int] = {}


class _JudgedBy(_Part):
    asked: str
    rule: str
    probabilities: bool
    fallback: bool
    why: str
    weak: str = ""
    noise_bounds: list[float] | None = Field(None, min_length=2, max_length=2)
    neighbor_recall: float = Field(1.0, ge=0, le=1)
    series: int | None = Field(None, ge=1)
    suspected_looks: int | None = Field(None, ge=1)


class _Chosen(_Part):
    asked: str
    name: str
    why: str


class _Run(_Part):
    format: int = Field(RUN_FORMAT, ge=1)
    source: str | None = None
    embeddings: str | None = None
    config: _Config = _Config()
    rounds: list[_Round] = []
    counts: _Counts | None = None
    growth: _Update | None = None
    updates: list[_Update] = []
    judged_by: _JudgedBy | None = None
    extractor: _Chosen | None = None
    stages: dict[str, float] = {}
    truth: dict[str, float | int | None] = {}
    source_warnings: list[str] = []
    damage: list[str] = []
    flow_run: str | None = None


class _Share(_Part):
    value: float
    interval: list[float] = Field(min_length=2, max_length=2)


class _Measured(_Part):
    auc: float
    auc_interval: tuple[float, float] | list[float]
    n_train: int
    tar_at_far: dict[str, _Share] = {}


class _Difference(_Part):
    auc: float
    interval: list[float] = Field(min_length=2, max_length=2)


class _Pairs(_Part):
    given: int
    excluded_identity: int
    excluded_image: int
    used: int


class _Evaluation(_Part):
    models: dict[str, _Measured]
    pairs: _Pairs
    differences: dict[str, _Difference]
    gap_closed: dict[str, _Share | None] | None = None

    @model_validator(mode="after")
    def _of_its_models(self) -> Self:
        for name in self.differences:
            if not {*name.split("-", 1)} <= {*self.models}:
                raise ValueError(f"the difference {name!r} is not one of two models of the file")
        return self


class _Protocol(_Part):
    published: str
    variant: str
    models: dict[str, dict[str, Any]]


class _Protocols(_Part):
    protocols: dict[str, _Protocol]
    order: list[str]


def _inner(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise ValueError("not the name of a file in the run's folder")
    return name


class _Stage(_Part):
    inputs: str
    version: int = 1
    outputs: dict[Annotated[str, AfterValidator(_inner)], str]
    seconds: float | None


def read_record(path: Path) -> dict[str, Any]:
    """Read ``run.json``; InputError if it is damaged, of a later release, or not the record of a run."""
    values = _read(path, _Run)
    if values.get("format", RUN_FORMAT) > RUN_FORMAT:
        raise InputError(
            f"{path}: written by a later release of purify (format {values['format']}; this one knows {RUN_FORMAT}); "
            "use that release"
        )
    return values


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read ``evaluation.json``; InputError if it is damaged or not an evaluation."""
    return _read(path, _Evaluation)


def read_protocols(path: Path) -> dict[str, Any]:
    """Read ``protocols.json``; InputError if it is damaged or not the figures of protocols."""
    return _read(path, _Protocols)


def read_stage(path: Path) -> dict[str, Any]:
    """Read the record of a finished stage; InputError if it is damaged or not one."""
    return _read(path, _Stage)


def _read(path: Path, form: type[_Part]) -> dict[str, Any]:
    values: dict[str, Any] = read_json(path)
    try:
        form.model_validate(values)
    except (ValidationError, RecursionError) as error:
        raise InputError(
            f"{path}: not as this release of purify writes it: {_problems(error)}; it was changed, or is of another "
            "version. Restore it, or begin the run anew in another folder"
        ) from error
    return values


def _problems(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    found = [
        f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more
