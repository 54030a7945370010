"""The one configuration: a pydantic model, read from TOML, overridden by ``section.key=value``.

The same model is the parameter of the Prefect flow, so its titles, bounds and enumerations are the form
that the Prefect UI shows.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from purify.credentials import CREDENTIALS_PATTERN, without_credentials
from purify.errors import InputError

#: Entry points by which an installed package adds decision rules.
RULE_ENTRY_POINTS = "purify.rules"
_RULES = ("calibrated", "official", "paper")

BackboneName = Literal["iresnet_small", "iresnet18", "iresnet34", "iresnet50", "iresnet100", "mobilefacenet"]

#: A path or URL. The pattern has the Prefect server refuse credentials too, before a run exists.
Place = Annotated[
    str, AfterValidator(without_credentials), Field(json_schema_extra={"pattern": f"^(?!{CREDENTIALS_PATTERN[1:]})"})
]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values don't change after reading."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        model_title_generator=lambda section: section.__name__.removesuffix("Config"),
        field_title_generator=lambda name, _: name.replace("_", " ").capitalize(),
    )


class IngestConfig(Section):
    """Reading the source."""

    images: list[Place] = Field(
        [], title="Image roots", description="Folders or tars, or their URLs, that a table's paths are looked up in."
    )
    min_size: int = Field(16, ge=1, description="Images whose shorter side is below this many pixels are 'too_small'.")
    max_pixels: int = Field(
        64_000_000, ge=1, description="Images that declare more pixels are refused as a decompression bomb."
    )
    label_depth: int | None = Field(
        None,
        ge=1,
        description="Level of the label folders, 1 right below the source; none: the images' own folders.",
    )
    workers: int = Field(0, ge=0, description="Decoding threads; 0: one a core.")


class ModelConfig(Section):
    """The backbone."""

    backbone: BackboneName = Field("iresnet_small", description="iresnet_small is the CPU default.")
    embedding_dim: int = Field(128, ge=8, le=4096, description="Numbers an image is described by.")
    input_size: int = Field(48, ge=32, le=448, description="Side of the square input in pixels.")
    weights: Place | None = Field(
        None,
        description="Backbone weights to start from (safetensors or an InsightFace-style .pth state dict).",
    )


class TrainConfig(Section):
    """Training on the noisy set (K sub-centers) and, with K = 1, on the purified one."""

    epochs: int = Field(24, ge=1, description="Passes over the training images.")
    min_steps: int = Field(
        600, ge=0, description="Small sets are repeated for more epochs until this many steps are reached."
    )
    batch_size: int = Field(64, ge=2, description="Images a batch.")
    accumulate: int = Field(1, ge=1, description="Batches whose gradients make one step.")
    learning_rate: float = Field(0.1, gt=0, description="Of SGD, at its highest.")
    schedule: Literal["cosine", "step", "polynomial"] = Field(
        "cosine", description="How the learning rate falls: to zero (cosine, polynomial) or in drops (step)."
    )
    warmup_epochs: float = Field(0.5, ge=0, description="Epochs over which the learning rate first rises.")
    warmup_steps: int | None = Field(None, ge=0, description="Steps of the same; overrides warmup_epochs.")
    drop_epochs: list[float] = Field(
        [8.0, 14.0], description="Schedule step: drops of the rate, in epochs; stretched where min_steps adds epochs."
    )
    drop_factor: float = Field(0.1, gt=0, lt=1, description="Schedule step: the rate after a drop, of that before.")
    power: float = Field(2.0, gt=0, description="Schedule polynomial: (1 - share of the steps) to this power.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Of SGD.")
    nesterov: bool = Field(True, description="Nesterov's form of the momentum.")
    weight_decay: float = Field(5e-4, ge=0, description="Of SGD.")
    clip_norm: float | None = Field(
        None, gt=0, description="Largest norm of a step's gradient, of the backbone and of the head each; none: any."
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="Decay of a running mean of the weights, which is what is saved; none: the last."
    )
    subcenters: int = Field(
        3,
        ge=1,
        le=16,
        title="Sub-centers K",
        description="Centers a class on the noisy set; wrong faces gather at others.",
    )
    head: Literal["arcface", "cosface", "combined"] = Field(
        "arcface", description="Margin: arcface adds an angle, cosface subtracts from the cosine."
    )
    margin: float = Field(0.3, ge=0, le=1, description="Final margin (radians for arcface, cosine for cosface).")
    combined_margin: tuple[float, float, float] = Field(
        (1.0, 0.3, 0.0), description="(m1, m2, m3) when head = combined."
    )
    scale: float | None = Field(None, gt=0, description="Logit scale s; none: from the number of classes.")
    warmup_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the steps trained without margin and with one center a class; 0: K random centers from "
        "the start.",
    )
    ramp_share: float = Field(0.25, ge=0, le=1, description="Share of the steps over which the margin then grows.")
    sample_rate: float = Field(
        1.0, gt=0, le=1, description="Share of the batch's other classes that compete in a step; 1: all of them."
    )
    negative_filter: float | None = Field(
        None, gt=0, le=1, description="Other classes with a larger cosine are ignored; none: none are."
    )
    precision: Literal["auto", "float32", "bfloat16", "float16", "float64"] = Field(
        "auto",
        description="Of the backbone; auto: what the device computes in hardware; float64 (of the head too): slow, to "
        "compare trainings whose sums are taken in another order.",
    )
    freeze_backbone: bool = Field(
        False, description="Train the head only, on a backbone that stays as model.weights has it."
    )
    mask_probability: float = Field(
        0.0, ge=0, le=1, description="Share of the views with a synthetic mask drawn over the lower face."
    )
    compile: bool = Field(False, description="Compile the backbone with torch.compile (needs a C++ compiler).")
    sync_batchnorm: bool = Field(
        True, description="With more processes: batch statistics of all of them together, not of each one's share."
    )
    processes: int = Field(
        1, ge=1, description="Processes (ranks) of a training on this machine, which share batches and classes."
    )
    nodes: int = Field(1, ge=1, description="Machines of a training, each with as many processes.")
    address: str | None = Field(
        None, pattern=r"^\[?[\w.:-]+\]?:\d+$", description="HOST:PORT of the first machine, where nodes > 1."
    )
    workers: int = Field(0, ge=0, description="Decoding threads; 0: one a core.")
    cache_mb: int = Field(
        512, ge=0, description="Megabytes of decoded images that each training keeps in memory; 0: decode every time."
    )
    parallel: int = Field(
        2, ge=1, description="Trainings at once, each with its share of the cores (1 on a single GPU)."
    )
    checkpoint_seconds: float = Field(20.0, ge=0, description="Least time between two resume points.")

    def recipe(self) -> dict[str, Any]:
        """What decides the weights: all settings but those that say how fast, and where, the training runs."""
        where = {"workers", "cache_mb", "parallel", "checkpoint_seconds", "processes", "nodes", "address"}
        return self.model_dump(exclude=where)


class ExtractorConfig(Section):
    """A model of your own in place of the first round's: nothing is trained for it."""

    file: Place | None = Field(
        None,
        title="Extractor",
        description="ONNX file, or weights of one of the backbones (safetensors or an InsightFace-style .pth).",
    )
    input_size: int | None = Field(
        None, ge=1, description="Side of its input in pixels; none: as the file says (ONNX), or 112."
    )
    color: Literal["RGB", "BGR"] = Field("RGB", description="Of an ONNX file that does not say it.")
    mean: float = Field(127.5, description="Subtracted from pixels in 0..255, for an ONNX file that does not say it.")
    std: float = Field(127.5, gt=0, description="What they are then divided by.")


class EmbedConfig(Section):
    """Extraction of embeddings."""

    batch_size: int = Field(256, ge=1, description="Images at once.")
    flip: bool = Field(True, description="Average the embeddings of the image and its mirror image.")
    shard_size: int = Field(1024, ge=1, description="Rows between two resume points, and of a block (see scale).")


def _rule_choice(schema: dict[str, Any]) -> None:
    """List the rules that are installed here, so that a form offers them."""
    own = sorted(entry.name for entry in entry_points(group=RULE_ENTRY_POINTS))
    schema["enum"] = list(dict.fromkeys([*_RULES, *own]))


class AnalyzeConfig(Section):
    """Evidence and decisions."""

    rule: str = Field(
        "calibrated",
        description="calibrated fits the noise of the data; official and paper know a fixed angle; or a rule of yours.",
        json_schema_extra=_rule_choice,
    )
    precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Of what is removed, the share whose label must be wrong; none: remove what is more probably wrong "
        "than right. Rule calibrated only.",
    )
    review_budget: int = Field(
        0, ge=0, description="The least certain samples, as many as this, are left to a person. Rule calibrated only."
    )
    keep_hard: bool = Field(
        False, description="Keep doubtful faces unless they are all but surely wrong. Rule calibrated only."
    )
    threshold: float = Field(
        75.0, gt=0, le=180, description="Degrees to the dominant sub-center. Rules official and paper only."
    )
    neighbors: int = Field(20, ge=1, le=1000, description="k of the neighbor agreement.")
    near_duplicate: float = Field(
        0.98, gt=0, le=1, description="Neighbors with a larger cosine are near duplicates and don't vote."
    )
    min_images: int = Field(
        3, ge=1, description="Smaller classes are flagged too_few, and lose no image without review."
    )
    weak_majority: float = Field(
        0.5, ge=0, le=1, description="Classes with a smaller share of right images are flagged weak_majority."
    )


class RoundsConfig(Section):
    """Purifying again, with a model trained on what the round before kept."""

    most: int = Field(1, ge=1, title="Most rounds", description="Rounds of train, embed, analyze; 1: no second one.")
    least_change: float = Field(
        0.005,
        ge=0,
        le=1,
        description="Stop when a smaller share of the samples changed its final label, or whether it is kept ...",
    )
    least_noise_change: float = Field(
        0.005, ge=0, le=1, description="... and the estimated share of noise changed by less than this."
    )


class ApplyConfig(Section):
    """What becomes of the verdicts."""

    reviews: Place | None = Field(
        None, description="Reviews of an earlier run (reviews.parquet): they hold in this run too."
    )


class RetrainConfig(Section):
    """Training on the purified set."""

    enabled: bool = Field(True, description="Off: stop after the cleaned tables.")


class ShowConfig(Section):
    """What a run shows in the Prefect UI; nothing of it changes a result."""

    faces: Literal["loopback", "always", "never"] = Field(
        "loopback",
        description="Thumbnails of removed images go into the Prefect server's database: only where it is on this "
        "machine (loopback), always, or never.",
    )


class GrowConfig(Section):
    """A run that is updated: when the models are trained again, and what is refused."""

    retrain_share: float = Field(
        0.25,
        ge=0,
        le=1,
        title="Train again at a share of new images",
        description="Train again when a larger share of the images is new since the last training; 0: with any.",
    )
    drift_degrees: float | None = Field(
        10.0,
        ge=0,
        title="Train again at a drift of the angles",
        description="Train again when the median angle of new images is larger by more than this; none: never.",
    )
    drift_images: int = Field(100, ge=1, description="Fewer new images than this don't show a drift.")
    most_lost: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Refuse a loss of images",
        description="Refuse an update that loses a larger share: a disk that is not mounted looks like that.",
    )


class EvaluateConfig(Section):
    """Proof of the gain."""

    pairs: Place | None = Field(None, description="Pairs file or its URL (LFW text form, or CSV/Parquet: a,b,same).")
    pairs_prefix: str | None = Field(
        None, description="Folder inside the image roots that the pairs' people are in; none: found."
    )
    baselines: list[Literal["raw", "random", "oracle"]] = Field(
        ["raw", "random", "oracle"], description="Models to train and compare with."
    )
    bootstrap: int = Field(1000, ge=100, description="Bootstrap samples for the intervals.")


class ScaleConfig(Section):
    """Who computes the blocks of embedding; it never changes a result."""

    runner: Literal["threads", "processes", "dask", "ray"] = Field(
        "threads", description="dask and ray need the extra of that name (docs/scale-out.md)."
    )
    workers: int = Field(
        0,
        ge=0,
        description="Blocks at once; 0: with threads one that all cores share, else one a core. A cluster at `address` "
        "has its own.",
    )
    address: str | None = Field(
        None,
        title="Address of a cluster",
        description="Dask scheduler (tcp://host:8786) or Ray head (host:6379); none: a cluster on this machine for the "
        "run.",
    )

    @model_validator(mode="after")
    def _address_of_a_cluster(self) -> Self:
        if self.address is not None and self.runner not in ("dask", "ray"):
            raise ValueError(f"an address needs runner dask or ray, not {self.runner}")
        return self


class PurifyConfig(Section):
    """Everything that decides a run's result, and who computes it."""

    seed: int = Field(0, ge=0, description="Every random draw comes from it.")
    ingest: IngestConfig = IngestConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    extractor: ExtractorConfig = ExtractorConfig()
    embed: EmbedConfig = EmbedConfig()
    analyze: AnalyzeConfig = AnalyzeConfig()
    rounds: RoundsConfig = RoundsConfig()
    apply: ApplyConfig = ApplyConfig()
    retrain: RetrainConfig = RetrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    grow: GrowConfig = GrowConfig()
    scale: ScaleConfig = ScaleConfig()
    show: ShowConfig = ShowConfig()

    @model_validator(mode="after")
    def _frozen_weights_are_given(self) -> PurifyConfig:
        if self.train.freeze_backbone and self.model.weights is None:
            raise ValueError("train.freeze_backbone: without model.weights it would freeze random ones")
        return self


def load_config(path: Path | None = None, overrides: Iterable[str] = ()) -> PurifyConfig:
    """Read a TOML file, apply ``section.key=value`` overrides, and validate.

    Values of overrides are TOML or JSON literals; what is neither is taken as a string.

    Raises
    ------
    InputError
        If the file can't be read, or a key or value is not one of the model's.
    """
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: can't read the configuration: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a TOML file: {error}") from error
    return _validated(data, overrides)


def with_overrides(config: PurifyConfig, overrides: Iterable[str]) -> PurifyConfig:
    """`config` with ``section.key=value`` overrides; InputError if a key or value is not one of the model's."""
    return _validated(config.model_dump(mode="json"), overrides)


def _validated(data: dict[str, Any], overrides: Iterable[str]) -> PurifyConfig:
    for text in overrides:
        _override(data, text)
    try:
        return PurifyConfig.model_validate(data)
    except ValidationError as error:
        raise InputError(_explain(error)) from error


def to_toml(config: PurifyConfig) -> str:
    """`config` as a TOML file that `load_config` reads back; descriptions as comments, unset values commented out."""
    lines = [f"seed = {config.seed}"]
    for name, section in config:
        if not isinstance(section, Section):
            continue
        lines += ["", f"[{name}]"]
        for key, field in type(section).model_fields.items():
            value = getattr(section, key)
            comment = f"  # {field.description}" if field.description else ""
            text = f"# {key} =" if value is None else f"{key} = {json.dumps(value)}"
            lines.append(text + comment)
    return "\n".join(lines)


def _override(data: dict[str, Any], text: str) -> None:
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text!r}: expected section.key=value, such as train.epochs=4")
    *sections, name = key.strip().split(".")
    node = data
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise InputError(f"--set {text!r}: {section!r} is not a section")
        node = child
    node[name] = _literal(raw.strip())


def _literal(raw: str) -> Any:
    for parse in (lambda: tomllib.loads(f"v = {raw}")["v"], lambda: json.loads(raw)):
        try:
            return parse()
        except ValueError:
            continue
    return raw


def _explain(error: ValidationError) -> str:
    lines = [": ".join(filter(None, [".".join(str(p) for p in e["loc"]), e["msg"]])) for e in error.errors()]
    return "configuration: " + "; ".join(lines) + " (see `purify config`)"
