"""Schemas of the tables between the stages: every column, its type and its closed vocabulary.

Angles are in degrees, probabilities in [0, 1]. The Parquet metadata of every file name its table:
``purify.schema`` = ``<table>/<version>``.
"""

from __future__ import annotations

import enum

import pyarrow as pa

from purify.storage.files import SCHEMA_KEY

SCHEMA_VERSION = 1


class Status(enum.StrEnum):
    """Whether a manifest row has a usable image."""

    OK = "ok"
    UNREADABLE = "unreadable"
    TOO_SMALL = "too_small"
    NO_LABEL = "no_label"
    DUPLICATE = "duplicate"
    NO_FACE = "no_face"
    PROFILE = "profile"
    NO_EMBEDDING = "no_embedding"


class Decision(enum.StrEnum):
    """Decision on a sample."""

    KEEP = "keep"
    DROP = "drop"
    RELABEL = "relabel"
    REVIEW = "review"


class Reason(enum.StrEnum):
    """Grounds of a decision: the closed list of the ``reason`` column."""

    NEAR_DOMINANT = "near_dominant"
    FAR_FROM_DOMINANT = "far_from_dominant"
    NON_DOMINANT_SUBCENTER = "non_dominant_subcenter"
    CLOSER_TO_OTHER_LABEL = "closer_to_other_label"
    OPEN_SET = "open_set"
    SECOND_IDENTITY = "second_identity"
    DUPLICATE_OF = "duplicate_of"
    HARD = "hard"
    SAME_PICTURE = "same_picture"
    NEAR_DUPLICATE_OF = "near_duplicate_of"
    UNCERTAIN = "uncertain"
    TOO_FEW_TO_JUDGE = "too_few_to_judge"
    REVIEWED = "reviewed"
    PUBLISHED_LIST = "published_list"


class OverlapReason(enum.StrEnum):
    """Why an image was dropped from one of two sets."""

    SHARED_PERSON = "shared_person"
    SHARED_PICTURE = "shared_picture"
    SHARED_FACE = "shared_face"


class Flag(enum.StrEnum):
    """Verdict of the class report on a label."""

    OK = "ok"
    MIXED = "mixed"
    DUPLICATE_OF = "duplicate_of"
    WEAK_MAJORITY = "weak_majority"
    TOO_FEW = "too_few"


def _schema(name: str, fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, metadata={SCHEMA_KEY: f"{name}/{SCHEMA_VERSION}".encode()})


#: The face that was cropped from a photo: box as left, top, right, bottom, and x, y of five points, in pixels of the
#: upright photo; of ``faces`` found in it. Null in rows that were not aligned.
_FACE_FIELDS = [
    pa.field("box", pa.list_(pa.float32())),
    pa.field("points", pa.list_(pa.float32())),
    pa.field("face_score", pa.float32()),
    pa.field("faces", pa.int32()),
    pa.field("yaw", pa.float32()),
]
_PHOTO_FIELDS = [
    pa.field("photo_uri", pa.string()),
    pa.field("photo_sha256", pa.string()),
    *_FACE_FIELDS,
    pa.field("face_choice", pa.string()),
]
_MANIFEST_FIELDS = [
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("uri", pa.string()),
    pa.field("label", pa.string(), nullable=False),
    pa.field("true_label", pa.string()),
    pa.field("split", pa.string()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("sha256", pa.string()),
    pa.field("status", pa.string(), nullable=False),
    pa.field("status_reason", pa.string()),
    *_PHOTO_FIELDS,
]

_VERDICT_FIELDS = [
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("label", pa.string(), nullable=False),
    pa.field("subcenter", pa.int32()),
    pa.field("angle", pa.float32()),
    pa.field("dominant", pa.int32()),
    pa.field("angle_dominant", pa.float32()),
    pa.field("dominant_share", pa.float32()),
    pa.field("other_label", pa.string()),
    pa.field("angle_other", pa.float32()),
    pa.field("neighbor_agreement", pa.float32()),
    pa.field("p_clean", pa.float32()),
    pa.field("p_other", pa.float32()),
    pa.field("decision", pa.string(), nullable=False),
    pa.field("new_label", pa.string()),
    pa.field("reason", pa.string(), nullable=False),
    pa.field("evidence_ids", pa.list_(pa.string())),
    pa.field("rule", pa.string(), nullable=False),
]

MANIFEST = _schema("manifest", _MANIFEST_FIELDS)
VERDICTS = _schema("verdicts", _VERDICT_FIELDS)
_MERGE = pa.struct(
    {
        "label": pa.string(),
        "angle": pa.float32(),
        "evidence_ids": pa.list_(pa.string()),
        "p_same": pa.float32(),
        "spelling": pa.float32(),
    }
)
CLASS_REPORT = _schema(
    "class_report",
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
        pa.field("n_kept", pa.int32(), nullable=False),
        pa.field("dominant_share", pa.float32()),
        pa.field("noise_rate", pa.float32()),
        pa.field("flag", pa.string(), nullable=False),
        pa.field("split", pa.list_(pa.list_(pa.string()))),
        pa.field("merge_with", pa.list_(_MERGE)),
    ],
)
#: Facts about each file of a source and its stamp at the time (`purify.ingest.inspection`).
INSPECTIONS = _schema(
    "readings",
    [
        pa.field("uri", pa.string()),
        pa.field("stamp", pa.string()),
        *(
            field
            for field in _MANIFEST_FIELDS
            if field.name in ("width", "height", "sha256", "status", "status_reason")
        ),
    ],
)
#: The faces of aligned photos, by the hash of the photo's bytes, the most prominent first; ``face`` is null without
#: one. ``crop`` is ``SHARD/MEMBER`` in the folder ``crops``.
FACES = _schema(
    "faces",
    [
        pa.field("photo_sha256", pa.string(), nullable=False),
        pa.field("face", pa.int32()),
        pa.field("crop", pa.string()),
        pa.field("sha256", pa.string()),
        *_FACE_FIELDS,
    ],
)
#: Faces that agree with the other photos of their label, where the photo shows a larger one.
FACE_CHOICES = _schema(
    "face_choices",
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("photo_sha256", pa.string(), nullable=False),
        pa.field("face", pa.int32(), nullable=False),
        pa.field("why", pa.string(), nullable=False),
    ],
)
#: Columns of a manifest that only aligned photos fill.
PHOTO_COLUMNS = tuple(field.name for field in _PHOTO_FIELDS)
CLEANED = _schema(
    "cleaned",
    [
        *_MANIFEST_FIELDS,
        pa.field("label_id", pa.int32(), nullable=False),
        pa.field("given_label", pa.string(), nullable=False),
    ],
)
_SAMPLE_FIELDS, _EVIDENCE_FIELDS = _VERDICT_FIELDS[:2], _VERDICT_FIELDS[2:]
REMOVED = _schema("removed", [*_MANIFEST_FIELDS, *_EVIDENCE_FIELDS])
#: Verdicts of the previous round (``decision_before`` and so on) and of this one.
CHANGES = _schema(
    "changes",
    [
        *_SAMPLE_FIELDS,
        *(
            field.with_name(name)
            for field in map(VERDICTS.field, ("decision", "new_label", "p_clean", "reason"))
            for name in (f"{field.name}_before", field.name)
        ),
    ],
)
#: Images with another outcome under A than under B: two lists, or a list and verdicts.
DIFFERENCES = _schema(
    "differences",
    [
        *_SAMPLE_FIELDS,
        pa.field("difference", pa.string(), nullable=False),
        *(pa.field(f"{name}_{side}", pa.string()) for side in ("a", "b") for name in ("decision", "label", "reason")),
        pa.field("p_clean", pa.float32()),
    ],
)
#: People in two sets, A and B, whatever their labels.
SHARED_PEOPLE = _schema(
    "shared_people",
    [
        pa.field("label_a", pa.string(), nullable=False),
        pa.field("label_b", pa.string(), nullable=False),
        pa.field("n_a", pa.int32(), nullable=False),
        pa.field("n_b", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("cosine", pa.float32(), nullable=False),
        pa.field("expected_false", pa.float32(), nullable=False),
        pa.field("mutual", pa.bool_(), nullable=False),
        pa.field("same_pictures", pa.int32(), nullable=False),
        pa.field("evidence_a", pa.list_(pa.string())),
        pa.field("evidence_b", pa.list_(pa.string())),
    ],
)
#: Images of B whose picture or person is in A, whatever their labels.
SHARED_PICTURES = _schema(
    "shared_pictures",
    [
        *(pa.field(f"{name}_{side}", pa.string(), nullable=False) for side in "ab" for name in ("sample_id", "label")),
        pa.field("cosine", pa.float32(), nullable=False),
        pa.field("same_picture", pa.bool_(), nullable=False),
        pa.field("same_bytes", pa.bool_()),
    ],
)
#: Images dropped from one set because they, or their person, are in the other.
OVERLAP_DROPPED = _schema(
    "overlap_dropped",
    [
        *_SAMPLE_FIELDS,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("other_label", pa.string(), nullable=False),
        pa.field("evidence_ids", pa.list_(pa.string())),
    ],
)
#: Human decisions, oldest first; the last row of a sample is in force.
REVIEWS = _schema(
    "reviews",
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("decision", pa.string(), nullable=False),
        pa.field("new_label", pa.string()),
        pa.field("reviewer", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
    ],
)
LABELS = _schema(
    "labels",
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("new_label", pa.string()),
        pa.field("label_id", pa.int32()),
        pa.field("n", pa.int32(), nullable=False),
        pa.field("n_kept", pa.int32(), nullable=False),
    ],
)

#: Images made from a network alone: what each stands for, how near it came, and its unweighted loss terms.
INVERSIONS = _schema(
    "inversions",
    [
        pa.field("target", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("subcenter", pa.int32()),
        pa.field("path", pa.string(), nullable=False),
        pa.field("cosine", pa.float32(), nullable=False),
        pa.field("judged_label", pa.string()),
        *(pa.field(f"{term}_loss", pa.float32(), nullable=False) for term in ("identity", "batchnorm")),
        *(pa.field(f"{term}_loss", pa.float32(), nullable=False) for term in ("total_variation", "norm")),
        pa.field("batch", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
    ],
)


def embeddings_schema(dim: int) -> pa.Schema:
    """Schema of ``embeddings.parquet`` for vectors of length `dim`; ``sha256`` is that of the image's bytes."""
    return _schema(
        "embeddings",
        [
            pa.field("sample_id", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), dim), nullable=False),
            pa.field("sha256", pa.string()),
        ],
    )
