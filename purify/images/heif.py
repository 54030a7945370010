"""HEIC, AVIF and JPEG XL: which one a file is, whatever its name says, and HEIC's decoder, an optional package."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

#: Packages that teach Pillow HEIC, the first found is used: ``pi_heif`` is the same without the encoder.
_PACKAGES = ("pillow_heif", "pi_heif")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
#: Byte behind the eighth brand of a file.
_BRANDS_END = 44


def heif_package() -> str | None:
    """Name of the installed package that decodes HEIC."""
    return next((name for name in _PACKAGES if find_spec(name)), None)


def register_heif() -> None:
    """Teach Pillow the format ``HEIF``, if a package for it is installed."""
    if package := heif_package():
        import_module(package).register_heif_opener()


def describe_unread(data: bytes) -> str | None:
    """What an image that no decoder took is, and the remedy, if it is of one of these formats."""
    if data[4:8] == b"ftyp":
        end = min(int.from_bytes(data[:4], "big"), _BRANDS_END)  # the size that a damaged file declares can be anything
        brands = (data[8:12], *(data[start : start + 4] for start in range(16, end, 4)))
        if any(brand in _AVIF for brand in brands):
            return "AVIF, which this Pillow can't read; update Pillow, or convert it to JPEG"
        if any(brand in _HEIC for brand in brands):
            if heif_package():
                return "HEIC that its decoder refuses; convert it to JPEG"
            return "HEIC, as iPhones write it; install the extra purify[heif], or convert it to JPEG"
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JPEG XL; convert it to JPEG"
    return None
