"""One photo of one person: layers from back to front, then the camera."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from purify_demo.anatomy import Landmarks, head_profile, key_color, relief, shade, shine
from purify_demo.backdrop import paint_backdrop, paint_body, paint_ears
from purify_demo.eyes import paint_eyes
from purify_demo.geometry import View, bounds, trace
from purify_demo.hair import HairShell, hair_color, paint_beard
from purify_demo.identity import Identity
from purify_demo.paint import Array, Layer
from purify_demo.scene import Camera, Cover, Scene
from purify_demo.skin import paint_skin, skin_color
from purify_demo.wear import paint_banner, paint_cover, paint_glasses

#: Pixels a side that faces are drawn at; photos are 64 to 112.
CANVAS = 144
_HALF_EXTENT, _CENTER_Y = 1.42, -0.16
_LUMA = np.array([0.3, 0.59, 0.11], np.float32).reshape(3, 1, 1)


def draw_portrait(identity: Identity, scene: Scene) -> Array:
    """Linear light float32[3, CANVAS, CANVAS] of `identity` in `scene`."""
    rng = np.random.default_rng(scene.seed)
    view = View.of(scene.pose, size=CANVAS, half_extent=_HALF_EXTENT, center_y=_CENTER_Y)
    marks = Landmarks.of(identity, scene.expression)
    picture = paint_backdrop(CANVAS, rng)
    shell = HairShell(view, identity, scene)
    skin = skin_color(identity)
    for layer in (shell.behind(), paint_body(view, skin, scene, marks, rng)):
        layer.onto(picture)
    if not identity.hair.covers_ears:
        paint_ears(view, identity, skin, scene).onto(picture)
    face = _face(view, identity, scene, marks, shell)
    face.onto(picture)
    hair = shell.front()
    hair.onto(picture)
    if scene.glasses or scene.cover is Cover.SUNGLASSES:
        head = np.zeros_like(view.x)
        head[face.window] = face.alpha
        head[hair.window] *= 1 - hair.alpha
        for layer in paint_glasses(view, identity, scene, head):
            layer.onto(picture)
    for layer in paint_cover(view, identity, scene, marks, rng):
        layer.onto(picture)
    if scene.mirrored:
        picture = picture[:, :, ::-1]
    if scene.cover is Cover.BANNER:
        paint_banner(CANVAS, rng).onto(picture)
    return picture


def _face(view: View, identity: Identity, scene: Scene, marks: Landmarks, shell: HairShell) -> Layer:
    def raised(x: Array, y: Array) -> Array:
        return relief(x, y, identity, scene.expression, marks)

    profile = head_profile(identity, marks.chin)
    window = bounds(profile, view)
    surface = trace(profile, view.part(window), raised)
    albedo = paint_skin(surface, identity, scene, marks)
    paint_beard(albedo, surface, identity, scene, marks)
    sparkle = paint_eyes(albedo, surface, identity, scene, hair_color(identity, identity.hair.tone))
    lit = shade(albedo, surface.normal, scene.light) * shell.shadow(surface)
    gloss = 0.16 * shine(surface.normal, scene.light, 22) + 0.7 * sparkle
    return Layer(lit + gloss * key_color(scene.light), surface.alpha, window)


def photograph(picture: Array, camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Linear light float32[3, S, S] through `camera`: a small RGB image, before compression."""
    gains = np.array(camera.balance, np.float32).reshape(3, 1, 1) * np.float32(camera.exposure)
    values = np.sqrt(np.clip(picture * gains, 0, None))
    values = values / np.float32(1.15) * (1 + np.float32(0.15) * np.clip(1 - values, -1, 1))  # a soft shoulder
    gray = np.sum(values * _LUMA, axis=0)
    values = gray + np.float32(camera.saturation) * (values - gray)
    values = (values - np.float32(0.45)) * np.float32(camera.contrast) + np.float32(0.45)
    image = _to_image(values)
    if camera.blur > 0:
        image = image.filter(ImageFilter.GaussianBlur(2.2 * camera.blur))
    if camera.reduce < 1:
        small = round(camera.side * camera.reduce)
        image = image.resize((small, small), Image.Resampling.BILINEAR)
    image = image.resize((camera.side, camera.side), Image.Resampling.BICUBIC)
    if camera.noise > 0:
        pixels = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
        speckle = rng.normal(0, camera.noise, (3 if camera.saturation else 1, camera.side, camera.side))
        image = _to_image(pixels + speckle.astype(np.float32))
    return image


def jpeg(image: Image.Image, quality: int) -> bytes:
    """`image` as a JPEG file."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _to_image(values: Array) -> Image.Image:
    pixels = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
