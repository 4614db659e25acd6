"""Files of many formats, made by independent writers, with what must come out of each: the rows of docs/data.md."""

from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np
from PIL import Image

from tests.data.format_files import (
    BRIGHT,
    COLOURS,
    COLOURS_16,
    DEFECT,
    GREY_12,
    GREY_16,
    INVERTED,
    NOISE,
    ROWS,
    SONOGRAPHY,
    TWELVE,
    always,
    animated,
    by_pillow,
    by_tifffile,
    channels,
    cmyk_jpeg,
    deep_avif,
    dng,
    enhanced,
    few_bits,
    fraction,
    heic,
    indexed_mask,
    jpeg_with_preview,
    palette_png,
    polygon,
    rgb,
    slide,
    stack,
    turned_jpeg,
)
from tests.data.making import dicom, png, saved, tiff

PHONE, LINE, MICROSCOPE = "phones, cameras", "line and area cameras", "microscopes"
RADIOLOGY, OTHER, MASK = "radiology", "elsewhere", "masks"


@dataclass(frozen=True)
class Format:
    """A row of the table.

    Attributes:
        place: where such files come from.
        what: the format.
        make: the file's content.
        expected: the pixels, as another reader or the literal array says; for what is refused, the name of its kind.
        read: what is said in the table.
        tolerance: of 255 or 65535, for lossy formats that the other reader decodes with other rounding.
        name: of the file; the suffix decides where a format has no signature.
        note: how what is noted begins.
        is_mask: whether it is a mask, so that anomalous pixels are expected.
    """

    place: str
    what: str
    make: Callable[[], bytes]
    expected: Callable[[bytes], np.ndarray] | str
    read: str
    tolerance: int = 0
    name: str = "part.x"
    note: str = ""
    is_mask: bool = False


def refused(place: str, what: str, content: bytes, kind: str, name: str = "part.x") -> Format:
    return Format(place, what, lambda: content, kind, "", name=name)


def in_series(place: str, what: str, content: bytes, kind: str, extra: str, name: str = "part.x") -> Format:
    """Read as a series alone; as one image it is refused."""
    return Format(place, what, lambda: content, kind, f"as a series; extra `{extra}`", name=name)


def mask(what: str, content: bytes, name: str, read: str = "above 0") -> Format:
    return Format(MASK, what, lambda: content, always(DEFECT), read, name=name, is_mask=True)


def of_phones() -> list[Format]:
    tenth = (GREY_16 >> 6).astype(np.uint16)
    deep = always(fraction(tenth / 1023))
    red = np.full_like(COLOURS, (204, 0, 0))
    return [
        Format(PHONE, "JPEG that EXIF turns", turned_jpeg, by_pillow, "upright, 8 bits"),
        Format(PHONE, "JPEG with preview or gain map (MPO)", jpeg_with_preview, by_pillow, "the image itself"),
        Format(PHONE, "JPEG in inks (CMYK, Adobe)", cmyk_jpeg, always(red), "8 bits"),
        Format(PHONE, "WebP", lambda: saved(COLOURS, "WEBP"), imagecodecs.webp_decode, "8 bits", 2),
        Format(PHONE, "HEIC", lambda: heic(rgb(BRIGHT), "RGB", 95), always(rgb(BRIGHT)), "8 bits; extra `heic`", 3),
        Format(PHONE, "HEIC of 10 bits", lambda: heic(rgb(tenth << 6), "RGB;16", -1), deep, "16 bits; extra `heic`"),
        Format(PHONE, "AVIF", lambda: saved(COLOURS, "AVIF"), imagecodecs.avif_decode, "8 bits", 2),
        Format(PHONE, "AVIF of 10 or 12 bits", lambda: deep_avif(tenth), deep, "16 bits; extra `codecs`"),
        Format(PHONE, "camera raw in TIFF (DNG, NEF, ARW)", dng, "a camera raw file", ""),
        refused(PHONE, "Canon CR3", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera raw file"),
        in_series(PHONE, "video (MP4, MOV, AVI)", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "a video", "video"),
    ]


def of_line_cameras() -> list[Format]:
    opaque = np.dstack([GREY_16, np.full_like(GREY_16, 65535)])
    pam = b"P7\nWIDTH 64\nHEIGHT 48\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + NOISE.tobytes()
    ppm = b"P6\n64 48\n65535\n" + COLOURS_16.astype(">u2").tobytes()
    unit = (GREY_16 / 65535).astype(np.float32)
    packed = always(fraction(GREY_12 / 4095))
    return [
        Format(LINE, "PNG of 16-bit colours", lambda: png(COLOURS_16, 2), imagecodecs.png_decode, "16 bits"),
        Format(
            LINE,
            "PNG of 16-bit grey and alpha",
            lambda: png(opaque, 4, interlaced=True),
            always(rgb(GREY_16)),
            "16 bits",
        ),
        Format(LINE, "PNG, grey of 2 bits", lambda: few_bits(2), always(rgb((BRIGHT >> 6) * np.uint8(85))), "8 bits"),
        Format(LINE, "PGM, PPM of 16 bits", lambda: ppm, always(COLOURS_16), "16 bits"),
        Format(LINE, "PAM", lambda: pam, always(NOISE), "8 or 16 bits"),
        Format(LINE, "BMP", lambda: saved(NOISE, "BMP"), imagecodecs.bmp_decode, "8 bits"),
        Format(
            LINE,
            "TIFF, 12-bit samples in 16 bits",
            lambda: tiff(GREY_12, photometric="minisblack"),
            by_tifffile,
            "16 bits, not stretched, and noted",
            note="its values",
        ),
        Format(
            LINE,
            "TIFF, 12-bit samples packed",
            lambda: tiff(GREY_12, photometric="minisblack", bitspersample=12),
            packed,
            "16 bits; extra `codecs`",
        ),
        Format(
            LINE,
            "TIFF of 16-bit colours, LZW",
            lambda: tiff(COLOURS_16, photometric="rgb", compression="lzw", predictor=True),
            by_tifffile,
            "16 bits",
        ),
        Format(
            LINE,
            "BigTIFF in tiles",
            lambda: tiff(COLOURS_16, photometric="rgb", bigtiff=True, tile=(16, 16)),
            by_tifffile,
            "16 bits",
        ),
        Format(
            LINE,
            "TIFF of floats in [0, 1]",
            lambda: tiff(unit, photometric="minisblack"),
            always(rgb(GREY_16)),
            "16 bits",
        ),
        refused(LINE, "dump of samples (RAW)", GREY_16.tobytes(), "a dump of a camera's samples", "part.raw"),
    ]


def of_microscopes() -> list[Format]:
    pages = "as a series; else the first page, and noted"
    return [
        Format(MICROSCOPE, "OME-TIFF, channels", channels, by_tifffile, pages, note="page 1 of 3"),
        Format(MICROSCOPE, "ImageJ stack", stack, by_tifffile, pages, note="page 1 of 4"),
        Format(MICROSCOPE, "Aperio SVS in JPEG tiles", slide, by_tifffile, "the slide, not its smaller copies", 2),
        Format(
            MICROSCOPE,
            "JPEG 2000, 16-bit colours",
            lambda: imagecodecs.jpeg2k_encode(COLOURS_16, level=0),
            always(COLOURS_16),
            "16 bits; extra `codecs`",
        ),
        Format(
            MICROSCOPE,
            "JPEG 2000, grey or 8-bit colours",
            lambda: saved(GREY_16, "JPEG2000"),
            lambda content: rgb(imagecodecs.jpeg2k_decode(content)),
            "8 or 16 bits",
        ),
        refused(MICROSCOPE, "Zeiss CZI", b"ZISRAWFILE".ljust(600, b"\0"), "a Zeiss CZI file"),
        refused(MICROSCOPE, "Nikon ND2", b"\xda\xce\xbe\x0a".ljust(600, b"\0"), "a Nikon ND2 file"),
        refused(MICROSCOPE, "Leica LIF", b"\x70\0\0\0".ljust(600, b"\0"), "a Leica LIF file"),
        refused(MICROSCOPE, "Olympus OIR", b"OLYMPUSRAWFORMAT".ljust(600, b"\0"), "an Olympus OIR file"),
    ]


def of_radiology() -> list[Format]:
    tomography = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 401}
    window = fraction((GREY_12 * 1.0 - 1024 - 39.5) / 400 + 0.5)
    lossless, shown = imagecodecs.ljpeg_encode(GREY_12, bitspersample=12), saved(COLOURS, "JPEG", quality=95)
    plain = fraction(GREY_12 / 4095)
    frames = dicom(np.concatenate([GREY_12] * 3), Rows=ROWS, NumberOfFrames=3, **TWELVE)
    nifti = b"\x5c\x01\0\0".ljust(344, b"\0") + b"n+1\0"
    return [
        Format(
            RADIOLOGY,
            "DICOM, CT",
            lambda: dicom(GREY_12, **tomography, **TWELVE),
            always(window),
            "16 bits over the window",
        ),
        Format(
            RADIOLOGY,
            "DICOM, enhanced, one frame",
            enhanced,
            always(fraction((GREY_12 * 2.0 - 1000 - 1000) / 4000 + 0.5)),
            "16 bits over the window of its groups",
        ),
        Format(
            RADIOLOGY,
            "DICOM, MONOCHROME1, lossless JPEG",
            lambda: dicom(GREY_12, "JPEGLosslessSV1", lossless, **INVERTED, **TWELVE),
            always(65535 - plain),
            "16 bits, inverted; extra `codecs`",
        ),
        Format(
            RADIOLOGY,
            "DICOM, colours in JPEG",
            lambda: dicom(COLOURS, "JPEGBaseline8Bit", shown, **SONOGRAPHY),
            lambda _: by_pillow(shown),
            "8 bits",
            2,
        ),
        Format(
            RADIOLOGY,
            "DICOM without preamble or suffix",
            lambda: dicom(GREY_12, "ImplicitVRLittleEndian", **TWELVE)[132:],
            always(plain),
            "16 bits",
        ),
        Format(
            RADIOLOGY,
            "DICOM of many frames",
            lambda: frames,
            always(plain),
            "as a series; else the first frame, and noted",
            note="frame 1 of 3",
        ),
        refused(RADIOLOGY, "DICOM report, PDF", dicom(GREY_12, PixelData=None), "a DICOM image has pixel data"),
        in_series(RADIOLOGY, "NIfTI", nifti, "a NIfTI volume", "volumes"),
        in_series(RADIOLOGY, "NIfTI, compressed", b"\x1f\x8b\x08\0", "a NIfTI volume", "volumes", "brain.nii.gz"),
        refused(RADIOLOGY, "Analyze", b"\x5c\x01\0\0".ljust(600, b"\0"), "an Analyze volume"),
        refused(RADIOLOGY, "MetaImage", b"ObjectType = Image\nNDims = 3\n", "a MetaImage volume"),
        refused(RADIOLOGY, "NRRD", b"NRRD0004\ntype: short\n", "an NRRD volume"),
    ]


def of_elsewhere() -> list[Format]:
    first = "as a series; else the first frame, and noted"
    return [
        Format(OTHER, "animated GIF", lambda: animated("GIF"), by_pillow, first, note="frame 1 of 2"),
        Format(OTHER, "animated PNG", lambda: animated("PNG"), by_pillow, first, note="frame 1 of 2"),
        Format(OTHER, "PNG with a palette", palette_png, by_pillow, "8 bits"),
        refused(OTHER, "JPEG XL", imagecodecs.jpegxl_encode(COLOURS), "a JPEG XL image"),
        refused(OTHER, "JPEG-LS", imagecodecs.jpegls_encode(GREY_16), "a JPEG image has 8 bits"),
        refused(OTHER, "OpenEXR", b"v/1\1\2\0\0\0", "an OpenEXR image"),
        refused(OTHER, "Radiance HDR", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "a Radiance HDR image"),
        refused(OTHER, "FITS", b"SIMPLE  =                    T", "a FITS file"),
        refused(OTHER, "Photoshop", b"8BPS\0\1", "a Photoshop file"),
        refused(OTHER, "SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        refused(OTHER, "PDF", b"%PDF-1.7\n", "a PDF document"),
    ]


def of_masks() -> list[Format]:
    white = DEFECT.astype(np.uint8) * 255
    return [
        mask("PNG of 0 and 255", saved(white, "PNG"), "mask.png"),
        mask("PNG of 0 and 1", saved(DEFECT.astype(np.uint8), "PNG"), "mask.png"),
        mask("PNG of 16-bit labels", saved(DEFECT * np.uint16(300), "PNG"), "mask.png"),
        mask("PNG with a palette", indexed_mask(), "mask.png"),
        mask("TIFF of 1 bit, fax group 4", saved(Image.fromarray(DEFECT), "TIFF", compression="group4"), "mask.tif"),
        mask("BMP", saved(white, "BMP"), "mask.bmp"),
        mask("JPEG", saved(white, "JPEG", quality=95), "mask.jpg", "above one half"),
        mask("polygons of labelme", polygon(), "mask.json", "drawn"),
    ]


FORMATS = [
    *of_phones(),
    *of_line_cameras(),
    *of_microscopes(),
    *of_radiology(),
    *of_elsewhere(),
    *of_masks(),
]
