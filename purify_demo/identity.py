"""Invented people: continuous measures of the face, drawn from a seed.

Lengths are in half head widths, with the eye line at y = 0, y upward and x to the viewer's right; angles in
radians. Ranges of skin, hair and eye color overlap widely, so that a person is told by shape, not by mean color.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Parameter of the beta distribution of measures: below 1, faces are told apart by a few strong traits.
_EXTREME = 0.45
#: Chance of the traits that most people lack.
_BEARD_CHANCE = 0.3
_GLASSES_CHANCE = 0.22
_LONG_HAIR_CHANCE = 0.45
_FRINGE_CHANCE = 0.3
_FRECKLES_CHANCE = 0.2


@dataclass(frozen=True)
class Head:
    """Skull and jaw: `taper` narrows the jaw, `square` fills its corners; `chin` and `crown` are heights."""

    cheek: float
    taper: float
    square: float
    chin: float
    crown: float
    depth: float
    chin_bump: float
    cheekbone: float
    ear: float
    ear_out: float


@dataclass(frozen=True)
class Eyes:
    """Centers at (+-`x`, `y`), half width `width`; `opening` is the height over the width; `hood` covers lids."""

    x: float
    y: float
    width: float
    opening: float
    tilt: float
    hood: float
    iris: float
    iris_size: float
    lashes: float


@dataclass(frozen=True)
class Brows:
    """`rise` above the eye, half length, thickness, arch, tilt, and darkness."""

    rise: float
    length: float
    thickness: float
    arch: float
    tilt: float
    density: float
    shift: float


@dataclass(frozen=True)
class Nose:
    """`tip` is the height of the tip, `out` how far it stands out; widths of bridge, tip and wings."""

    tip: float
    out: float
    bridge: float
    width: float
    wing: float
    hook: float


@dataclass(frozen=True)
class Mouth:
    """`drop` of the lip line as a share of the way from nose to chin; both lips; `bow`, and lift of the corners."""

    drop: float
    width: float
    upper: float
    lower: float
    bow: float
    corner: float
    red: float
    dark: float


@dataclass(frozen=True)
class Hair:
    """Volume on `top` and `side`, `length` (height of its lower end), and the hairline.

    `line` is the height of that line, `recession` at the temples, `fringe` how far hair falls over the forehead
    (0: not at all), `sweep` its slant, `part` where it parts; `curl` from straight to frizzy. Long hair covers
    the face's sides from the angle `curtain` on.
    """

    tone: float
    gray: float
    top: float
    side: float
    length: float
    line: float
    recession: float
    fringe: float
    sweep: float
    part: float
    curtain: float
    curl: float
    bald: float

    @property
    def covers_ears(self) -> bool:
        """Whether the ears are under the hair."""
        return self.length < -0.6 and self.curtain < 1.1


@dataclass(frozen=True)
class Skin:
    """`tone` from light to dark, `warmth`, `age` (lines), freckles, and moles as (x, y, radius)."""

    tone: float
    warmth: float
    age: float
    freckles: float
    moles: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Beard:
    """Density in [0, 1] of mustache, chin and cheeks, and of stubble everywhere."""

    mustache: float
    chin: float
    cheeks: float
    stubble: float


@dataclass(frozen=True)
class Glasses:
    """`habit` is the chance to wear them; half `width` and `height` of a lens, roundness, and frame."""

    habit: float
    width: float
    height: float
    power: float
    frame: float
    tone: float


@dataclass(frozen=True)
class Identity:
    """One invented person."""

    head: Head
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    hair: Hair
    skin: Skin
    beard: Beard
    glasses: Glasses


def sample_identity(rng: np.random.Generator) -> Identity:
    """Draw a person; equal generators give equal people."""

    def u(low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * float(rng.beta(_EXTREME, _EXTREME))

    return Identity(
        head=Head(
            cheek=u(0.8, 1.0),
            taper=u(0.02, 0.5),
            square=u(2.0, 5.0),
            chin=u(1.18, 1.55),
            crown=u(1.22, 1.5),
            depth=u(0.95, 1.15),
            chin_bump=u(0.0, 0.14),
            cheekbone=u(0.0, 0.14),
            ear=u(0.2, 0.32),
            ear_out=u(0.0, 0.16),
        ),
        eyes=Eyes(
            x=u(0.34, 0.5),
            y=u(-0.07, 0.07),
            width=u(0.18, 0.3),
            opening=u(0.42, 0.95),
            tilt=u(-0.2, 0.28),
            hood=u(0.0, 1.0),
            iris=u(),
            iris_size=u(0.44, 0.6),
            lashes=u(),
        ),
        brows=Brows(
            rise=u(0.19, 0.4),
            length=u(0.2, 0.34),
            thickness=u(0.028, 0.1),
            arch=u(-0.01, 0.12),
            tilt=u(-0.36, 0.26),
            density=u(0.35, 1.0),
            shift=u(-0.05, 0.05),
        ),
        nose=Nose(
            tip=u(-0.68, -0.36),
            out=u(0.2, 0.45),
            bridge=u(0.07, 0.13),
            width=u(0.1, 0.2),
            wing=u(0.14, 0.33),
            hook=u(-0.05, 0.07),
        ),
        mouth=Mouth(
            drop=u(0.32, 0.5),
            width=u(0.22, 0.48),
            upper=u(0.03, 0.13),
            lower=u(0.05, 0.17),
            bow=u(),
            corner=u(-0.06, 0.05),
            red=u(),
            dark=u(),
        ),
        hair=_hair(rng),
        skin=_skin(rng),
        beard=_beard(rng),
        glasses=Glasses(
            habit=u(0.6, 0.9) if rng.uniform() < _GLASSES_CHANCE else 0.03,
            width=u(0.25, 0.34),
            height=u(0.17, 0.29),
            power=u(2.0, 5.0),
            frame=u(0.012, 0.04),
            tone=u(),
        ),
    )


def _hair(rng: np.random.Generator) -> Hair:
    u = rng.uniform
    long = u() < _LONG_HAIR_CHANCE
    bald = max(0.0, u(-3.0, 1.0)) if not long else 0.0
    return Hair(
        tone=u(),
        gray=max(0.0, u(-3.0, 1.0)),
        top=u(0.04, 0.3),
        side=u(0.08, 0.34) if long else u(0.02, 0.16),
        length=u(-2.4, -0.9) if long else u(-0.55, -0.1),
        line=u(0.66, 1.0),
        recession=u(-0.05, 0.3),
        fringe=u(0.15, 0.5) if u() < _FRINGE_CHANCE else 0.0,
        sweep=u(-0.25, 0.25),
        part=u(-0.6, 0.6),
        curtain=u(0.72, 1.2) if long else 1.12,
        curl=u() ** 2,
        bald=bald,
    )


def _skin(rng: np.random.Generator) -> Skin:
    u = rng.uniform
    moles = tuple((u(-0.7, 0.7), u(-1.1, 0.4), u(0.02, 0.045)) for _ in range(rng.integers(0, 4)))
    freckles = u(0.4, 1.0) if u() < _FRECKLES_CHANCE else 0.0
    return Skin(tone=u(), warmth=u(-1, 1), age=u() ** 1.5, freckles=freckles, moles=moles)


def _beard(rng: np.random.Generator) -> Beard:
    u = rng.uniform
    if u() >= _BEARD_CHANCE:
        return Beard(0.0, 0.0, 0.0, max(0.0, u(-1.2, 0.6)))
    return Beard(
        mustache=max(0.0, u(-0.3, 1.0)), chin=max(0.0, u(-0.3, 1.0)), cheeks=max(0.0, u(-1.0, 1.0)), stubble=u(0.1, 0.6)
    )
