"""Protocols by name, and which published number each one gives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from purify.errors import InputError, did_you_mean
from purify.evaluation.protocols.template_pooling import PoolingVariant


class Family(StrEnum):
    """What a protocol does with its data."""

    FOLDS = "folds"
    MASKED_PAIRS = "masked pairs"
    TEMPLATE_PAIRS = "template pairs"
    TEMPLATE_SEARCH = "template search"
    DISTRACTORS = "distractors"
    ALL_PAIRS = "all pairs"
    PEOPLE = "people"


class Masks(StrEnum):
    """Which images of the test get a drawn mask."""

    NONE = "none"
    SECOND = "second"
    BOTH = "both"
    GALLERY = "gallery"


@dataclass(frozen=True)
class NamedProtocol:
    """A protocol.

    Attributes
    ----------
    name
        As it was asked for.
    family
        What is computed.
    files
        Usual names of its files; one of each group (separated by ``|``).
    published
        The papers' number that it gives.
    left_open
        What the source does not say, if anything.
    pairs
        Number of pairs of the published set.
    as_insightface
        Whether the figures are those of InsightFace's scripts, where these deviate.
    pooling
        Variant of template pooling.
    masks
        Which images get a drawn mask.
    rates
        False accept rates that are reported.
    """

    name: str
    family: Family
    files: tuple[str, ...]
    published: str
    left_open: str = ""
    pairs: int | None = None
    as_insightface: bool = False
    pooling: PoolingVariant = field(default_factory=PoolingVariant)
    masks: Masks = Masks.NONE
    rates: tuple[float, ...] = (0.1, 0.01, 0.001)
    ranks: tuple[int, ...] = (1, 5, 10)


def _folds(name: str, pairs: int, what: str) -> NamedProtocol:
    file = name.replace("-", "_")
    return NamedProtocol(name, Family.FOLDS, (f"{file}.bin|{file}_pairs.txt|pairs.txt|{file}.csv",), what, pairs=pairs)


def _templates(name: str) -> tuple[NamedProtocol, NamedProtocol]:
    file = name.replace("-", "")
    images = f"{file}_face_tid_mid.txt"
    points = f"{file}_name_5pts_score.txt"
    lists = ("S1", "S2") if name == "ijb-b" else ("G1", "G2")
    title = name.upper()
    return (
        NamedProtocol(
            name,
            Family.TEMPLATE_PAIRS,
            (images, f"{file}_template_pair_label.txt", points),
            f"{title} 1:1, TAR at FAR 1e-4 and 1e-5 of the ArcFace papers (with -insightface)",
            rates=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
        ),
        NamedProtocol(
            f"{name}-1n",
            Family.TEMPLATE_SEARCH,
            (images, *(f"{file}_1N_gallery_{one}.csv" for one in lists), f"{file}_1N_probe_mixed.csv", points),
            f"{title} 1:N, rank-1 of the ArcFace papers (with -insightface); TPIR at FPIR as in the set's report",
            rates=(0.1, 0.01),
        ),
    )


_MEGAFACE = ("facescrub_lst|facescrub_lst.txt", "megaface_lst|megaface_lst.txt")
_NOISE = ("facescrub_noises.txt", "megaface_noises.txt")
_MASK_TEXT = (
    "The source (Mare et al., arXiv 2109.01745) overlays nine drawn masks and retrains. Its tables were not at hand: "
    "whether {number} is verification or closed-set identification, on which split and pairs, is open. Both are given, "
    "with masks drawn here; for the authors' own masks, give their images as a protocol of pairs."
)
_LIST = (
    _folds("lfw", 6000, "LFW accuracy (99.83 of ArcFace R100 on MS1MV3)"),
    _folds("cfp-fp", 7000, "CFP-FP accuracy (98.79)"),
    _folds("agedb-30", 6000, "AgeDB-30 accuracy (98.23)"),
    _folds("calfw", 6000, "CALFW accuracy (96.02)"),
    _folds("cplfw", 6000, "CPLFW accuracy (93.21)"),
    NamedProtocol("pairs", Family.FOLDS, (), "accuracy over the folds of a file of pairs of your own"),
    NamedProtocol("mlfw", Family.MASKED_PAIRS, ("mlfw_pairs.txt|pairs.txt",), "MLFW accuracy", pairs=6000),
    *_templates("ijb-b"),
    *_templates("ijb-c"),
    NamedProtocol(
        "megaface",
        Family.DISTRACTORS,
        _MEGAFACE,
        "MegaFace challenge 1: Id is rank-1 at 1M distractors, Ver TAR@FAR=1e-6 (80.71 unrefined)",
        rates=(1e-6,),
        ranks=(1, 10),
    ),
    NamedProtocol(
        "megaface-refined",
        Family.DISTRACTORS,
        (*_MEGAFACE, *_NOISE),
        "MegaFace (R): the same without the images on InsightFace's noise lists (98.51 / 98.74 with -insightface)",
        rates=(1e-6,),
        ranks=(1, 10),
    ),
    NamedProtocol(
        "trillion-pairs",
        Family.ALL_PAIRS,
        ("elfw.csv|elfw.parquet|trillion_pairs.csv|trillion_pairs.parquet",),
        "Trillion Pairs: Id TPR@FPR=1e-3 and Ver TPR@FPR=1e-9 (57.45 / 57.48 where they are quoted)",
        "The challenge's server held the labels; which pairs it compared is not published. Here: all pairs of two "
        "images, and of an image and a distractor.",
        rates=(1e-9,),
    ),
    NamedProtocol(
        "lfr-image",
        Family.ALL_PAIRS,
        ("elfw.csv|elfw.parquet|lfr_image.csv|lfr_image.parquet",),
        "LFR2019-Image (DeepGlint): TPR@FPR=1e-8",
        rates=(1e-8,),
    ),
    NamedProtocol(
        "celeba+masks",
        Family.PEOPLE,
        ("celeba.csv|celeba.parquet",),
        "CelebA+masks (91.78)",
        _MASK_TEXT.format(number="91.78"),
    ),
    NamedProtocol(
        "casia-webface+masks",
        Family.PEOPLE,
        ("casia-webface.csv|casia-webface.parquet|casia_webface.csv|casia_webface.parquet",),
        "CASIA-WebFace+masks (87.95)",
        _MASK_TEXT.format(number="87.95"),
    ),
    NamedProtocol("people+masks", Family.PEOPLE, (), "the same on a labeled table of your own"),
)
#: The protocols by name, without variants.
PROTOCOLS = {one.name: one for one in _LIST}
_SUFFIX = "-insightface"
_DEVIATING = (Family.FOLDS, Family.MASKED_PAIRS, Family.TEMPLATE_PAIRS, Family.TEMPLATE_SEARCH)
_NAME = re.compile(r"(?P<name>[^/]+?)(?P<suffix>-insightface)?(/(?P<pooling>n[01]d[01]f[01]))?(?P<masks>\+mask-\w+)?")


def find_protocol(text: str) -> NamedProtocol:
    """The protocol of a name such as ``lfw``, ``ijb-c-insightface/N0D1F1`` or ``lfw+mask-second``.

    Capitals don't matter. InputError, with the names there are, for another one.
    """
    found = _NAME.fullmatch(text.strip().lower())
    base = PROTOCOLS.get(found["name"]) if found else None
    if found is None or base is None:
        raise InputError(
            f"there is no protocol {text!r}{did_you_mean(text.lower(), PROTOCOLS)}; known: {', '.join(PROTOCOLS)}, the "
            "variants NAME-insightface, IJB/N0D1F1, PAIRS+mask-second and PAIRS+mask-both"
        )
    templates = base.family in (Family.TEMPLATE_PAIRS, Family.TEMPLATE_SEARCH)
    if found["suffix"] and base.family not in _DEVIATING and base.name != "megaface-refined":
        raise InputError(f"{text}: InsightFace's scripts don't deviate here; ask for {base.name}")
    if found["pooling"] and not templates:
        raise InputError(f"{text}: {base.name} has no templates to pool")
    return replace(
        base,
        name=text.strip(),
        as_insightface=bool(found["suffix"]),
        pooling=PoolingVariant.parse(found["pooling"]) if found["pooling"] else base.pooling,
        masks=_masks(text, base, found["masks"]),
    )


def _masks(text: str, base: NamedProtocol, suffix: str | None) -> Masks:
    if suffix is None:
        return Masks.NONE
    wanted = suffix.removeprefix("+mask-")
    if base.family is not Family.FOLDS or wanted not in (Masks.SECOND, Masks.BOTH):
        raise InputError(f"{text}: masks are drawn on sets of pairs, as +mask-second or +mask-both")
    return Masks(wanted)
