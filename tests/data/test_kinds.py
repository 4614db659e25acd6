"""Kinds by signature and suffix: what the formats' specifications say their files begin with."""

import pytest
from PIL import Image

from tests.data.making import saved
from zsad.data import kinds
from zsad.data.kinds import kind_of, kind_of_name

HEADS = {
    "a PNG image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "a JPEG image": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "a TIFF image": b"MM\0*\0\0\0\x08",
    "a Netpbm image": b"P7\nWIDTH 3",
    "a WebP image": b"RIFF\x10\0\0\0WEBPVP8L",
    "an AVIF image": b"\0\0\0\x20ftypmif1\0\0\0\0mif1avifmiaf",
    "a HEIC image": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "a JPEG 2000 image": b"\0\0\0\x0cjP  \r\n\x87\n",
    "a JPEG XL image": b"\xff\x0a\xfa\x1f",
    "a DICOM file": b"\0" * 128 + b"DICM",
    "a camera raw file": b"II*\0\x10\0\0\0CR\2\0",
    "a video": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
    "a NIfTI volume": b"\x5c\x01\0\0".ljust(344, b"\0") + b"n+1\0",
    "a Zeiss CZI file": b"ZISRAWFILE\0\0\0",
    "a Nikon ND2 file": b"\xda\xce\xbe\x0a\x10\0\0\0",
    "an OpenEXR image": b"v/1\1\2\0\0\0",
    "a FITS file": b"SIMPLE  =                    T",
    "a Photoshop file": b"8BPS\0\1",
}


@pytest.mark.parametrize("name", HEADS)
def test_the_first_bytes_tell_the_kind_whatever_the_suffix(name: str) -> None:
    for called in ("", "part.png", "part.nii"):
        kind = kind_of(HEADS[name], called)
        assert kind is not None
        assert kind.name == name


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("IMG_1.HEIC", "a HEIC image"),
        ("a/b.c/scan.NII.GZ", "a NIfTI volume"),
        ("drawing.svg", "an SVG drawing"),
        ("DSC01.ARW", "a camera raw file"),
        ("frames.raw", "a dump of a camera's samples"),
    ],
)
def test_the_suffix_tells_where_the_first_bytes_do_not(called: str, name: str) -> None:
    for kind in (kind_of(b"unheard of", called), kind_of_name(called)):
        assert kind is not None
        assert kind.name == name


def test_camera_raw_in_a_tiff_container_goes_by_its_suffix() -> None:
    assert kind_of(b"II*\0\x08\0\0\0", "a.dng") is kinds.CAMERA_RAW
    assert kind_of(saved(Image.new("RGB", (4, 3)), "JPEG"), "a.dng") is kinds.JPEG


def test_canon_raw_and_video_lie_in_the_same_container_as_heic() -> None:
    assert kind_of(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom") is kinds.CAMERA_RAW
    assert kind_of(b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "IMG_1.HEIC") is kinds.VIDEO


def test_dicom_without_a_preamble() -> None:
    assert kind_of(b"\x08\0\x05\0CS\n\0ISO_IR 100") is kinds.DICOM
    assert kind_of(b"\x08\0\x08\0\x16\0\0\0ORIGINAL") is kinds.DICOM
    assert kind_of(b"\x08\0\x08\0\xff\xff\xff\xffORIGINAL") is None


@pytest.mark.parametrize(("head", "called"), [(b"", ""), (b"hello", "notes.txt"), (b"\0" * 600, "x"), (b"", "png")])
def test_what_is_not_known(head: bytes, called: str) -> None:
    assert kind_of(head, called) is None


def test_no_suffix_has_two_kinds_and_each_is_in_lower_case() -> None:
    suffixes = [suffix for kind in kinds.KNOWN for suffix in kind.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


def test_what_is_not_read_says_what_to_do_instead() -> None:
    assert all(kind.refused for kind in kinds.REFUSED)
    assert not any(kind.refused for kind in kinds.READ)
    error = kinds.refusal(kinds.CAMERA_RAW, "IMG.CR3")
    assert (
        str(error) == "a camera raw file is not supported; got IMG.CR3. Remedy: develop it to TIFF, PNG or JPEG first."
    )
