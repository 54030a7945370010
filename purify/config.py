"""The configuration of a run: one pydantic model, whose files and overrides `config_files` reads.

It is also the parameter of the Prefect flow, whose UI turns its titles, bounds and enumerations into a form.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from purify.credentials import CREDENTIALS_PATTERN, without_credentials
from purify.errors import did_you_mean

#: Entry-point group for kinds of sources of installed packages.
DOOR_ENTRY_POINTS = "purify.doors"
#: Entry-point group for decision rules of installed packages.
RULE_ENTRY_POINTS = "purify.rules"
#: Columns of a user's table that may have other names in the file.
_COLUMNS = ("path", "label", "sample_id", "true_label", "split", "image", "embedding")
_LARGEST = (1 << 53) - 1
_RULES = ("calibrated", "official", "paper")
#: Extractors by name; any other is a file.
EXTRACTOR_NAMES = ("auto", "dlib", "scratch")

BackboneName = Literal["iresnet_small", "iresnet18", "iresnet34", "iresnet50", "iresnet100", "mobilefacenet"]

#: A path or URL. The pattern makes the Prefect server refuse credentials too, before a run exists.
Place = Annotated[
    str, AfterValidator(without_credentials), Field(json_schema_extra={"pattern": f"^(?!{CREDENTIALS_PATTERN[1:]})"})
]


class Section(BaseModel):
    """A frozen section of the configuration; unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        model_title_generator=lambda section: section.__name__.removesuffix("Config"),
        field_title_generator=lambda name, _: name.replace("_", " ").capitalize(),
    )

    @field_validator("*")
    @classmethod
    def _number_is_exact(cls, value: Any) -> Any:
        """JSON, and with it ``run.json`` and the form, holds no larger whole numbers exactly."""
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise ValueError(f"at most {_LARGEST} is expected")
        return value


class IngestConfig(Section):
    """Reading the source."""

    images: list[Place] = Field(
        [],
        title="Image roots",
        description="Folders or tars, or their URLs, in which the paths of a table are looked up.",
    )
    min_size: int = Field(
        16, ge=1, description="Least length of an image's shorter side in pixels; smaller ones are 'too_small'."
    )
    max_pixels: int = Field(
        64_000_000, ge=1, description="Most pixels of an image; larger ones are refused as decompression bombs."
    )
    label_depth: int | None = Field(
        None, ge=1, description="Level of the label folders, 1 right below the source; none: the images' own folders."
    )
    more: list[Place] = Field(
        [], title="Further sources", description="Sources merged with the first, each with a prefix to its sample_ids."
    )
    same_labels: bool = Field(
        False, description="Equal labels of several sources mean one person; else labels get the prefix too."
    )
    format: str | None = Field(
        None,
        description="How to read the source, such as folder, tar, webdataset or table; none: recognized.",
    )
    columns: dict[str, str] = Field(
        {}, description="Columns of a table under other names, such as {path = 'file_name', label = 'person'}."
    )
    label_field: str | None = Field(
        None,
        description="Field of the label in the .json of a WebDataset sample (none: label), or of a folder, tar or zip "
        "in the .json beside each image (none: the labels are the folders).",
    )
    workers: int = Field(
        0, ge=0, description="Decoding threads, or processes where many images are new; 0: one per core."
    )

    @field_validator("columns")
    @classmethod
    def _columns_are_known(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in _COLUMNS:
                raise ValueError(f"{name!r} is none of {', '.join(_COLUMNS)}{did_you_mean(name, _COLUMNS)}")
        return columns


class AlignConfig(Section):
    """Faces in photos, cropped to the field's template."""

    enabled: bool = Field(
        False, title="Photos", description="The source holds photos: find, align and crop their faces before all else."
    )
    detector: Place | None = Field(
        None,
        description="ONNX file of a face detector with five points (YuNet, SCRFD, RetinaFace); none: dlib's, of the "
        "extra faces.",
    )
    min_score: float | None = Field(
        None, description="Least score of a face, on the detector's scale; none: the detector's usual one."
    )
    all_faces: bool = Field(
        False, description="A row for each face of a photo; else for the largest and most central one."
    )
    agreeing: bool = Field(
        True,
        description="After the first judging, take of a photo's faces the one that agrees with its label's other "
        "photos.",
    )
    min_face: int = Field(16, ge=1, description="Least side of a face in a photo, in pixels; smaller: 'too_small'.")
    max_yaw: float = Field(
        75.0, gt=0, le=90, description="Most degrees by which a face may be turned to a side; more: 'profile'."
    )
    size: int = Field(112, ge=32, le=448, description="Side of a crop in pixels.")
    shard_size: int = Field(128, ge=1, description="Photos per shard: the unit of resuming and of scale.workers.")
    workers: int = Field(0, ge=0, description="Processes that align, without scale.workers; 0: one per core.")


class ModelConfig(Section):
    """The backbone."""

    backbone: BackboneName = Field("iresnet_small", description="Architecture; iresnet_small is meant for a CPU.")
    embedding_dim: int = Field(128, ge=8, le=4096, description="Length of an embedding.")
    input_size: int = Field(48, ge=32, le=448, description="Side length of the square input in pixels.")
    weights: Place | None = Field(
        None,
        description="Initial weights of the backbone (safetensors, or a .pth state dict as InsightFace writes it).",
    )


class TrainConfig(Section):
    """Training: with K sub-centers on the noisy set, with K = 1 on the purified one."""

    epochs: int = Field(24, ge=1, description="Passes over the training images.")
    min_steps: int = Field(600, ge=0, description="Least number of steps; a small set is repeated for more epochs.")
    batch_size: int = Field(64, ge=2, description="Images per batch.")
    accumulate: int = Field(1, ge=1, description="Batches per optimizer step (gradient accumulation).")
    learning_rate: float = Field(0.1, gt=0, description="Peak learning rate of SGD.")
    schedule: Literal["cosine", "step", "polynomial"] = Field(
        "cosine", description="Decay of the learning rate: to zero (cosine, polynomial) or in drops (step)."
    )
    warmup_epochs: float = Field(0.5, ge=0, description="Epochs of linear warm-up of the learning rate.")
    warmup_steps: int | None = Field(None, ge=0, description="The same in steps; overrides warmup_epochs.")
    drop_epochs: list[float] = Field(
        [8.0, 14.0], description="Schedule step: epochs at which the rate drops; stretched where min_steps adds epochs."
    )
    drop_factor: float = Field(0.1, gt=0, lt=1, description="Schedule step: factor of each drop.")
    power: float = Field(2.0, gt=0, description="Schedule polynomial: exponent of (1 - share of the steps done).")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    nesterov: bool = Field(True, description="Nesterov momentum.")
    weight_decay: float = Field(5e-4, ge=0, description="Weight decay of SGD.")
    clip_norm: float | None = Field(
        None, gt=0, description="Largest gradient norm, for backbone and head each; none: no clipping."
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of a running mean of the weights, saved in place of the last ones; none: no mean.",
    )
    subcenters: int = Field(
        3,
        ge=1,
        le=16,
        title="Sub-centers K",
        description="Sub-centers per class on the noisy set; wrong faces gather at the non-dominant ones.",
    )
    head: Literal["arcface", "cosface", "combined"] = Field(
        "arcface", description="Kind of margin: arcface adds to the angle, cosface subtracts from the cosine."
    )
    margin: float = Field(0.3, ge=0, le=1, description="Final margin: radians for arcface, a cosine for cosface.")
    combined_margin: tuple[float, float, float] = Field(
        (1.0, 0.3, 0.0), description="Margins (m1, m2, m3) of head combined."
    )
    scale: float | None = Field(None, gt=0, description="Logit scale s; none: derived from the number of classes.")
    warmup_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the steps without margin and with one center per class; 0: K random centers from the "
        "start.",
    )
    ramp_share: float = Field(
        0.25, ge=0, le=1, description="Share of the steps after that over which the margin grows."
    )
    sample_rate: float = Field(
        1.0, gt=0, le=1, description="Share of the negative classes sampled in each step (partial FC); 1: all."
    )
    negative_filter: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Largest cosine of a negative class that counts, as likely the same person above; none: any.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16", "float64"] = Field(
        "auto",
        description="Number format of the backbone; auto: the fastest in the device's hardware; float64, for the head "
        "too, only to compare trainings that sum in different orders.",
    )
    freeze_backbone: bool = Field(False, description="Train the head only; the backbone keeps model.weights.")
    mask_probability: float = Field(
        0.0, ge=0, le=1, description="Share of training images with a synthetic mask over the lower face."
    )
    compile: bool = Field(False, description="Compile the backbone with torch.compile (needs a C++ compiler).")
    sync_batchnorm: bool = Field(True, description="Share batch-norm statistics among the processes of a training.")
    processes: int = Field(1, ge=1, description="Processes (ranks) per machine; they share batches and classes.")
    nodes: int = Field(1, ge=1, description="Machines per training.")
    address: str | None = Field(
        None, pattern=r"^\[?[\w.:-]+\]?:\d+$", description="HOST:PORT of the first machine; for nodes > 1."
    )
    workers: int = Field(0, ge=0, description="Decoding threads; 0: one per core.")
    cache_mb: int = Field(
        512, ge=0, description="Memory of each training for decoded images, in megabytes; 0: decode them every time."
    )
    parallel: int = Field(2, ge=1, description="Trainings side by side; use 1 on a single GPU.")
    threads: int = Field(
        2,
        ge=0,
        description="Compute threads of each process of a training; 0: its share of the cores. Their number, not that "
        "of the cores, affects how weights are rounded, and so a few verdicts.",
    )
    checkpoint_seconds: float = Field(20.0, ge=0, description="Least seconds between two resume points.")

    def recipe(self) -> dict[str, Any]:
        """Settings that affect the weights: all but those of speed and location."""
        where = {"workers", "cache_mb", "parallel", "threads", "checkpoint_seconds", "processes", "nodes", "address"}
        return self.model_dump(exclude=where)


class ExtractorConfig(Section):
    """The extractor, whose embeddings are judged."""

    name: Place = Field(
        "auto",
        title="Extractor",
        description="dlib (extra faces); scratch: the network that is trained on these very labels; auto: the stronger "
        "of the two that fits; or a file: ONNX, or weights of a known backbone (safetensors, or a .pth as InsightFace "
        "writes it).",
    )
    input_size: int | None = Field(
        None, ge=1, description="Side length of its input in pixels; none: from the ONNX file, or 112."
    )
    color: Literal["RGB", "BGR"] = Field("RGB", description="Channel order, where the ONNX file doesn't say it.")
    mean: float = Field(127.5, description="Mean of the pixels (0 to 255), where the ONNX file doesn't say it.")
    std: float = Field(127.5, gt=0, description="Standard deviation of the pixels, where the ONNX file doesn't say it.")

    @property
    def file(self) -> str | None:
        """The file, where one is given by its path."""
        return None if self.name in EXTRACTOR_NAMES else self.name

    @model_validator(mode="before")
    @classmethod
    def _file_was_a_setting(cls, values: Any) -> Any:
        """Take ``file``, as the setting was called before there were names; without one, a network was trained."""
        if not isinstance(values, dict) or "file" not in values:
            return values
        name = values["file"] or values.get("name", "scratch")
        return {key: value for key, value in values.items() if key != "file"} | {"name": name}


class EmbedConfig(Section):
    """Embedding."""

    batch_size: int = Field(256, ge=1, description="Images per batch.")
    flip: bool = Field(True, description="Average the embeddings of an image and its mirror image.")
    shard_size: int = Field(1024, ge=1, description="Rows per block: the unit of resuming and of scale.workers.")


class EmbeddingsConfig(Section):
    """Reading given embeddings."""

    columns: dict[str, str] = Field(
        {},
        description="Their columns (of a .npz: arrays) under other names: {path = 'image', embedding = 'vector'}.",
    )
    ids: Place | None = Field(
        None, title="List of ids", description="Ids of the rows of a .npy, one a line; none: a list beside it."
    )
    most_missing: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Largest share of the usable images that may have no embedding, or none of plain numbers: "
        "they are left out, and a warning counts them.",
    )


def _rules() -> list[str]:
    """Names of the built-in rules and of those of installed packages."""
    return list(dict.fromkeys([*_RULES, *sorted(entry.name for entry in entry_points(group=RULE_ENTRY_POINTS))]))


def _rule_choice(schema: dict[str, Any]) -> None:
    """Add the installed rules to the schema, as the choices of a form."""
    schema["enum"] = _rules()


class AnalyzeConfig(Section):
    """Analysis: evidence and decisions."""

    rule: str = Field(
        "calibrated",
        description="calibrated: fitted to the noise of the data; official, paper: a fixed angle; or your own rule.",
        json_schema_extra=_rule_choice,
    )
    checkpoint: Place | None = Field(
        None, description="Checkpoint folder whose sub-centers judge; none: the run's own, or new ones are fitted."
    )
    precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Least share of wrong labels among the removed; none: remove what is more likely wrong than right. "
        "Rule calibrated only.",
    )
    review_budget: int = Field(
        0, ge=0, description="Number of least certain samples left to a person. Rule calibrated only."
    )
    keep_hard: bool = Field(
        False, description="Keep doubtful faces unless almost certainly wrong. Rule calibrated only."
    )
    several_looks: bool = Field(
        False,
        description="The images of a label may look different from several sides, as those of a product: each look is "
        "judged by itself, and no label is split or merged. Rule calibrated only.",
    )
    threshold: float = Field(
        75.0,
        gt=0,
        le=180,
        description="Largest angle to the dominant sub-center in degrees. Rules official and paper only.",
    )
    neighbors: int = Field(20, ge=1, le=1000, description="Number k of nearest neighbors for the neighbor agreement.")
    near_duplicate: float = Field(
        0.98, gt=0, le=1, description="Cosine above which a neighbor is a near duplicate without a vote."
    )
    recall: float = Field(
        0.95, gt=0, le=1, description="Least share of the nearest neighbors that the search must find in a large set."
    )
    dedupe: bool = Field(False, description="Drop near duplicates of another image of the same label.")
    min_images: int = Field(
        2,
        ge=1,
        description="Least images per class; smaller ones are flagged too_few and lose no image without review.",
    )
    weak_majority: float = Field(
        0.5, ge=0, le=1, description="Share of right images below which a class is flagged weak_majority."
    )

    @field_validator("rule")
    @classmethod
    def _rule_is_installed(cls, rule: str) -> str:
        if rule not in _RULES and rule not in _rules():
            raise ValueError(f"{rule!r} is none of {', '.join(_rules())}{did_you_mean(rule, _rules())}")
        return rule


class RoundsConfig(Section):
    """Rounds: each trains on the images that the one before kept."""

    most: int | None = Field(
        None,
        ge=1,
        title="Most rounds",
        description="Most rounds of training, embedding and analysis; none: two where the first network learned many "
        "wrong labels (second_from; rule calibrated only), else one.",
    )
    second_from: float = Field(
        0.1,
        ge=0,
        le=1,
        title="Second round from a share of noise",
        description="Without a number of rounds: more than this share of the images must be found under wrong labels "
        "for a second round, whose network does not learn these labels.",
    )
    least_change: float = Field(
        0.005,
        ge=0,
        le=1,
        description="Stop once less than this share of the samples changed label or decision ...",
    )
    least_noise_change: float = Field(
        0.005, ge=0, le=1, description="... and the estimated share of noise changed by less than this."
    )


class ApplyConfig(Section):
    """From verdicts to the cleaned tables."""

    reviews: Place | None = Field(
        None, description="Reviews of an earlier run (reviews.parquet) that hold in this run too."
    )


class RetrainConfig(Section):
    """Training on the purified set."""

    enabled: bool = Field(True, description="Train on the purified set; false: stop after the cleaned tables.")


class ShowConfig(Section):
    """Display in the Prefect UI and the report; results don't depend on it."""

    faces: Literal["loopback", "always", "never"] = Field(
        "loopback",
        description="Store thumbnails of removed images in the Prefect server's database: if it runs on this machine "
        "(loopback), always, or never.",
    )
    full_paths: bool = Field(
        False, description="Name the folders above source and files in the report; they tell of accounts and machines."
    )


class GrowConfig(Section):
    """Updates of a run: when to train again, and which losses to refuse."""

    retrain_share: float = Field(
        0.25,
        ge=0,
        le=1,
        title="Train again at a share of new images",
        description="Train again when more than this share of the images is new since the last training.",
    )
    drift_degrees: float | None = Field(
        10.0,
        ge=0,
        title="Train again at a drift of the angles",
        description="Train again when the median angle of new images is larger by more than this; none: never.",
    )
    drift_images: int = Field(100, ge=1, description="Least new images for a drift to count.")
    most_lost: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Refuse a loss of images",
        description="Refuse an update that loses a larger share of the images: a disk may not be mounted.",
    )


class EvaluateConfig(Section):
    """Evaluation: the gain on verification pairs."""

    pairs: Place | None = Field(
        None, description="Pairs file or its URL (LFW text form, or CSV/Parquet with a, b, same)."
    )
    pairs_prefix: str | None = Field(
        None, description="Folder of the pairs' people inside the image roots; none: found automatically."
    )
    overlap: Place | None = Field(
        None,
        description="Folder written by `purify overlap` of the training set and the pairs' set: pairs of people whom "
        "both have by face are left out, too.",
    )
    baselines: list[Literal["raw", "random", "oracle"]] = Field(
        ["raw", "random", "oracle"], description="Models to train for comparison."
    )
    bootstrap: int = Field(1000, ge=100, description="Bootstrap samples behind the intervals.")
    protocols: list[str] = Field(
        [], description="Protocols of the field on which the final models are measured too, such as lfw or ijb-c."
    )
    data: list[Place] = Field(
        [], title="Files of the protocols", description="Files of these protocols, or folders that hold them."
    )

    @property
    def compares(self) -> bool:
        """Whether there is anything to compare models on."""
        return bool(self.pairs or self.protocols)


class InvertConfig(Section):
    """Reconstruction of faces from a trained network: `purify invert`, and an optional stage of the flow."""

    enabled: bool = Field(
        False,
        title="Faces of sub-centers",
        description="At the end of a run, reconstruct the faces that the sub-centers of some labels stand for.",
    )
    labels: int = Field(
        16, ge=1, description="Most labels whose faces a run reconstructs: mixed ones, then the noisiest."
    )
    steps: int = Field(800, ge=1, description="Steps of the optimizer per batch.")
    batch_size: int = Field(64, ge=1, description="Images per batch, of different people.")
    least_batch: int = Field(
        32,
        ge=1,
        description="Fewer targets are joined by other people, whose images are not kept: the statistics of a small "
        "batch say little.",
    )
    learning_rate: float = Field(0.05, gt=0, description="Peak learning rate of Adam.")
    schedule: Literal["constant", "cosine"] = Field("cosine", description="Learning rate after the warm-up.")
    warmup_share: float = Field(0.05, ge=0, le=1, description="Share of the steps of linear warm-up.")
    identity: float = Field(1.0, ge=0, description="Weight of the identity term.")
    margin: float | None = Field(
        None, ge=0, le=1.5, description="Margin to a class, in radians; none: the one of the network's training."
    )
    center_pull: float = Field(
        64.0, ge=0, description="Factor of the squared distance to the class's center, beside the margin; 0: none."
    )
    feature_scale: float = Field(
        128.0, gt=0, description="Factor of the squared distance to an embedding, the identity term without a class."
    )
    batchnorm: float = Field(0.1, ge=0, description="Weight of the prior on batch-norm statistics; 0: none.")
    batchnorm_2d: bool = Field(True, description="The prior counts the batch norms of feature maps.")
    batchnorm_1d: bool = Field(True, description="The prior counts the final batch norm of the embedding.")
    batchnorm_first: float = Field(1.0, ge=0, description="Weight of the first batch norm, relative to the others.")
    total_variation: float = Field(0.02, ge=0, description="Weight of the total variation.")
    norm: float = Field(1e-4, ge=0, description="Weight of the squared L2 norm.")
    start_std: float = Field(
        0.2, ge=0, description="Standard deviation of the noise at the start; images are in [-1, 1]."
    )
    octaves: int = Field(
        5, ge=1, le=6, description="Resolutions whose sum is an image, each half the one before; 1: the pixels alone."
    )
    color: float = Field(
        0.2, gt=0, le=1, description="Size of a step in color relative to one in brightness; 1: the channels alone."
    )
    coarse_share: float = Field(
        0.4, ge=0, le=1, description="Share of the steps, at first, without the finest of several octaves."
    )
    jitter: int = Field(2, ge=0, description="Largest random shift of a step, in pixels.")
    flip: bool = Field(True, description="Mirror random images in each step.")
    clip: bool = Field(True, description="Keep pixels in their range after each step.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the network; auto: the fastest in the device's hardware."
    )
    watermark: bool = Field(True, description="Write SYNTHETIC below each image.")
    checkpoint_seconds: float = Field(20.0, ge=0, description="Least seconds between two resume points.")

    def recipe(self) -> dict[str, Any]:
        """Settings that affect the images."""
        return self.model_dump(exclude={"enabled", "labels", "watermark", "checkpoint_seconds"})


class ScaleConfig(Section):
    """Workers for the blocks of embedding; results don't depend on it."""

    runner: Literal["threads", "processes", "dask", "ray"] = Field(
        "threads", description="Kind of workers; dask and ray need the extra of that name (docs/how-to/scale-out.md)."
    )
    workers: int = Field(
        0,
        ge=0,
        description="Blocks side by side; 0: one on all cores with threads, else one per core. A cluster at `address` "
        "has its own.",
    )
    address: str | None = Field(
        None,
        title="Address of a cluster",
        description="Dask scheduler (tcp://host:8786) or Ray head (host:6379); none: a cluster of the run's own, on "
        "this machine.",
    )

    @model_validator(mode="after")
    def _address_of_a_cluster(self) -> Self:
        if self.address is not None and self.runner not in ("dask", "ray"):
            raise ValueError(f"an address needs runner dask or ray, not {self.runner}")
        return self


class PurifyConfig(Section):
    """All settings of a run."""

    seed: int = Field(0, ge=0, description="Seed of all random numbers.")
    ingest: IngestConfig = IngestConfig()
    align: AlignConfig = AlignConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    extractor: ExtractorConfig = ExtractorConfig()
    embed: EmbedConfig = EmbedConfig()
    embeddings: EmbeddingsConfig = EmbeddingsConfig()
    analyze: AnalyzeConfig = AnalyzeConfig()
    rounds: RoundsConfig = RoundsConfig()
    apply: ApplyConfig = ApplyConfig()
    retrain: RetrainConfig = RetrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    grow: GrowConfig = GrowConfig()
    invert: InvertConfig = InvertConfig()
    scale: ScaleConfig = ScaleConfig()
    show: ShowConfig = ShowConfig()

    @model_validator(mode="after")
    def _frozen_weights_are_given(self) -> PurifyConfig:
        if self.train.freeze_backbone and self.model.weights is None:
            raise ValueError("train.freeze_backbone needs model.weights: random weights would be frozen")
        return self

    def changed(self, **sections: Mapping[str, Any]) -> PurifyConfig:
        """The same with other values in some sections, which are not validated."""
        return self.model_copy(
            update={name: getattr(self, name).model_copy(update=dict(values)) for name, values in sections.items()}
        )
