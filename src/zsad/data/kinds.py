"""File formats, recognised by their first bytes, or by suffix where a format has no signature.

The one table of formats: ``decode`` chooses the decoder by it, searches of folders tell by it what cannot be read.
"""

from dataclasses import dataclass
from pathlib import PurePath

from zsad.errors import InputError

HEAD_LENGTH = 512
"""Number of first bytes that ``kind_of`` needs; fewer for shorter files."""

Mark = tuple[int, bytes]
"""Bytes at an offset."""


@dataclass(frozen=True)
class FileKind:
    """A format of image files, or of files that are mistaken for images.

    Attributes:
        name: with its article, as in messages.
        suffixes: in lower case, with the dot.
        marks: signatures, any one of which identifies the format.
        refused: None for a supported format; for others the remedy.
        extra: the extra of this package that it needs; "" if none.
        in_tiff: whether such files have the signature of TIFF, so that the suffix decides.
    """

    name: str
    suffixes: tuple[str, ...]
    marks: tuple[Mark, ...] = ()
    refused: str | None = None
    extra: str = ""
    in_tiff: bool = False


SCORED_BY_FRAMES = "name a frame, such as {name}#0; zsad predict scores them all"
SLICES = "export the slices that are to be scored as single images"
FLATTEN = "export it as PNG or TIFF"
DEVELOP = "develop it to TIFF, PNG or JPEG first"
CHANNELS = "export the planes that are to be scored as TIFF or PNG"
REGION = "export the region that is to be scored as TIFF or PNG"
TABLE = "save each image as PNG or TIFF"

PNG = FileKind("a PNG image", (".png", ".apng"), ((0, b"\x89PNG\r\n\x1a\n"),))
JPEG = FileKind("a JPEG image", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), ((0, b"\xff\xd8\xff"),))
TIFF = FileKind(
    "a TIFF image",
    (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk", ".svs"),
    tuple((0, start) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
)
BMP = FileKind("a BMP image", (".bmp", ".dib"), ((0, b"BM"),))
GIF = FileKind("a GIF image", (".gif",), ((0, b"GIF87a"), (0, b"GIF89a")))
WEBP = FileKind("a WebP image", (".webp",), ((8, b"WEBP"),))
NETPBM = FileKind(
    "a Netpbm image",
    (".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm"),
    tuple((0, b"P" + bytes([letter, space])) for letter in b"1234567f" for space in b"\n\r\t #"),
)
AVIF = FileKind("an AVIF image", (".avif", ".avifs"))
HEIF = FileKind("a HEIC image", (".heic", ".heif", ".hif", ".heics", ".heifs"), extra="heic")
"""By the brands of its container, as AVIF, camera raw of Canon and video are: see ``_of_brands``."""
DICOM = FileKind("a DICOM file", (".dcm", ".dicom", ".dic", ".ima"), ((128, b"DICM"),), extra="dicom")
JPEG_2000 = FileKind(
    "a JPEG 2000 image",
    (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc", ".jph", ".jhc"),
    ((0, b"\0\0\0\x0cjP  \r\n\x87\n"), (0, b"\xff\x4f\xff\x51")),
)
CAMERA_RAW = FileKind(
    "a camera raw file",
    (
        *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2", ".rwl"),
        *(".pef", ".srw", ".3fr", ".fff", ".iiq", ".erf", ".mef", ".mos", ".mrw", ".kdc", ".dcr", ".x3f", ".gpr"),
    ),
    (
        *((0, b"FUJIFILMCCD-RAW"), (0, b"IIRO"), (0, b"IIRS"), (0, b"MMOR"), (0, b"IIU\0"), (0, b"FOVb")),
        *((8, b"CR\2\0"), (6, b"HEAPCCDR"), (0, b"\0MRM")),
    ),
    DEVELOP,
    in_tiff=True,
)
VIDEO = FileKind(
    "a video",
    (
        *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".mts", ".m2ts"),
        *(".mxf", ".ogv", ".vob"),
    ),
    (
        *((8, b"AVI "), (0, b"\x1aE\xdf\xa3"), (0, b"\0\0\1\xba"), (0, b"\0\0\1\xb3"), (0, b"FLV\1")),
        *((0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01"), (0, b"OggS")),
        *((4, box) for box in (b"moov", b"mdat", b"wide")),
    ),
    SCORED_BY_FRAMES,
    extra="video",
)
NIFTI = FileKind(
    "a NIfTI volume",
    (".nii", ".nii.gz"),
    ((344, b"n+1\0"), (344, b"ni1\0"), (4, b"n+2\0\r\n\x1a\n")),
    SCORED_BY_FRAMES,
    extra="volumes",
)
SERIES = (NIFTI, VIDEO)
"""Formats without a first image that would stand for the file: they are read frame by frame."""

READ = (*(PNG, JPEG, BMP, GIF, WEBP, NETPBM, AVIF, HEIF, JPEG_2000, DICOM, TIFF),)
"""Supported formats."""

REFUSED = (
    CAMERA_RAW,
    VIDEO,
    NIFTI,
    FileKind("an Analyze volume", (".img", ".img.gz"), ((0, b"\x5c\x01\0\0"), (0, b"\0\0\x01\x5c")), SLICES),
    FileKind("a MetaImage volume", (".mha", ".mhd"), ((0, b"ObjectType ="), (0, b"NDims =")), SLICES),
    FileKind("an NRRD volume", (".nrrd", ".nhdr"), ((0, b"NRRD000"),), SLICES),
    FileKind("a MINC volume", (".mnc",), (), SLICES),
    FileKind("an MGH volume", (".mgh", ".mgz"), (), SLICES),
    FileKind("a VTK volume", (".vtk", ".vti"), ((0, b"# vtk DataFile"),), SLICES),
    FileKind("an MRC volume", (".mrc", ".mrcs"), ((208, b"MAP "),), SLICES),
    FileKind("a Zeiss CZI file", (".czi",), ((0, b"ZISRAWFILE"),), CHANNELS),
    FileKind("a Zeiss ZVI file", (".zvi",), (), CHANNELS),
    FileKind("a Leica LIF file", (".lif", ".xlef", ".lof"), ((0, b"\x70\0\0\0"),), CHANNELS),
    FileKind("a Nikon ND2 file", (".nd2",), ((0, b"\xda\xce\xbe\x0a"),), CHANNELS),
    FileKind("an Olympus OIR file", (".oir", ".poir"), ((0, b"OLYMPUSRAWFORMAT"),), CHANNELS),
    FileKind("an Olympus OIB file", (".oib", ".oif"), (), CHANNELS),
    FileKind("an Olympus VSI file", (".vsi", ".ets"), (), CHANNELS),
    FileKind("a whole-slide image", (".ndpi", ".scn", ".bif", ".mrxs", ".vms"), (), REGION, in_tiff=True),
    FileKind("an Imaris file", (".ims",), (), CHANNELS),
    FileKind("a Gatan file", (".dm3", ".dm4"), (), CHANNELS),
    FileKind("a Photoshop file", (".psd", ".psb"), ((0, b"8BPS"),), FLATTEN),
    FileKind("a GIMP file", (".xcf",), ((0, b"gimp xcf"),), FLATTEN),
    FileKind("an SVG drawing", (".svg", ".svgz"), ((0, b"<svg"),), FLATTEN),
    FileKind("a PDF document", (".pdf",), ((0, b"%PDF-"),), FLATTEN),
    FileKind("a PostScript document", (".eps", ".ps", ".ai"), ((0, b"%!PS"), (0, b"\xc5\xd0\xd3\xc6")), FLATTEN),
    FileKind("a Windows metafile", (".wmf", ".emf"), ((0, b"\xd7\xcd\xc6\x9a"), (40, b" EMF")), FLATTEN),
    FileKind("a DjVu document", (".djvu", ".djv"), ((0, b"AT&TFORM"),), FLATTEN),
    FileKind("an OpenEXR image", (".exr",), ((0, b"v/1\1"),), "map its tones to 8 or 16 bits, and save as PNG or TIFF"),
    FileKind("a PFM image in colour", (), tuple((0, b"PF" + space) for space in (b"\n", b"\r", b" ")), FLATTEN),
    FileKind(
        "a Radiance HDR image",
        (".hdr", ".rgbe", ".pic"),
        ((0, b"#?RADIANCE"), (0, b"#?RGBE")),
        "map its tones to 8 or 16 bits, and save as PNG or TIFF",
    ),
    FileKind(
        "a FITS file",
        (".fits", ".fit", ".fts"),
        ((0, b"SIMPLE  ="),),
        "choose black and white, and save as 16-bit PNG or TIFF",
    ),
    FileKind("a JPEG XL image", (".jxl",), ((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL \r\n\x87\n")), FLATTEN),
    FileKind("a JPEG-LS image", (".jls",), (), FLATTEN),
    FileKind("a JPEG XR image", (".jxr", ".wdp", ".hdp"), ((0, b"II\xbc"),), FLATTEN),
    FileKind("a Targa image", (".tga",), (), FLATTEN),
    FileKind("a PCX image", (".pcx", ".dcx"), (), FLATTEN),
    FileKind("a DirectDraw texture", (".dds",), ((0, b"DDS "),), FLATTEN),
    FileKind("an icon", (".ico", ".icns", ".cur"), ((0, b"\0\0\1\0"), (0, b"icns"), (0, b"\0\0\2\0")), FLATTEN),
    FileKind("an SGI image", (".sgi", ".rgb", ".rgba", ".bw"), ((0, b"\x01\xda"),), FLATTEN),
    FileKind("a Sun raster image", (".ras",), ((0, b"\x59\xa6\x6a\x95"),), FLATTEN),
    FileKind("an X bitmap", (".xbm", ".xpm"), ((0, b"/* XPM */"),), FLATTEN),
    FileKind("a QOI image", (".qoi",), ((0, b"qoif"),), FLATTEN),
    FileKind("a BPG image", (".bpg",), ((0, b"BPG\xfb"),), FLATTEN),
    FileKind("a FLIF image", (".flif",), ((0, b"FLIF"),), FLATTEN),
    FileKind("a dump of a camera's samples", (".raw", ".bayer", ".yuv", ".nv12"), (), TABLE),
    FileKind("a NumPy file", (".npy", ".npz"), ((0, b"\x93NUMPY"),), "pass its array to detector.predict, or " + TABLE),
    FileKind("an HDF5 file", (".h5", ".hdf5", ".he5"), ((0, b"\x89HDF\r\n\x1a\n"),), TABLE),
    FileKind("a MATLAB file", (".mat",), ((0, b"MATLAB 5.0"),), TABLE),
)
"""Known formats that are not supported."""

KNOWN = (*READ, *REFUSED)
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2"}
AVIF_BRANDS = {b"avif", b"avis"}


def kind_of(head: bytes, name: str = "") -> FileKind | None:
    """The format of a file, or None if it is unknown.

    The first bytes decide; the suffix only where they are not conclusive, as for TIFF, whose signature camera raw and
    slides share.

    Args:
        head: the first ``HEAD_LENGTH`` bytes of the file.
        name: of the file, or its path.

    >>> kind_of(b"%PDF-1.7", "part.png").name
    'a PDF document'
    >>> kind_of(b"unheard of", "brain.nii.gz").name
    'a NIfTI volume'
    """
    kind = _by_marks(head)
    named = kind_of_name(name)
    return named if kind is None or (kind is TIFF and named is not None and named.in_tiff) else kind


def kind_of_name(name: str) -> FileKind | None:
    """The format of the suffix of a file."""
    lower = PurePath(name).name.lower()
    return next((kind for kind in KNOWN if lower.endswith(kind.suffixes)), None)


def refusal(kind: FileKind, name: str) -> InputError:
    """The error for a file in a known format that is not supported, or not as one image."""
    rule = f"{kind.name} is read frame by frame" if kind in SERIES else f"{kind.name} is not supported"
    return InputError(rule, name, str(kind.refused).format(name=name))


def _by_marks(head: bytes) -> FileKind | None:
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if _is_bare_dicom(head):
        return DICOM
    return next((kind for kind in (CAMERA_RAW, *KNOWN) if _is_marked(kind, head)), None)


def _is_marked(kind: FileKind, head: bytes) -> bool:
    return any(head.startswith(content, offset) for offset, content in kind.marks)


def _of_brands(head: bytes) -> FileKind:
    """ISO base media files name their major brand, a version, and brands that they are compatible with."""
    brands = head[8 : max(16, min(int.from_bytes(head[:4], "big"), len(head)))]
    major, compatible = brands[:4], {brands[at : at + 4] for at in range(8, len(brands), 4)}
    if major == b"crx ":
        return CAMERA_RAW
    if major in AVIF_BRANDS or (major in HEIF_BRANDS and compatible & AVIF_BRANDS):
        return AVIF
    return HEIF if major in HEIF_BRANDS else VIDEO


def _is_bare_dicom(head: bytes) -> bool:
    """A data set without the preamble that DICOM files begin with: group 2 or 8, a low element number, a known VR."""
    group, element = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    if len(head) < 8 or group not in (2, 8) or element > 0x18:
        return False
    length = int.from_bytes(head[4:8], "little")
    return head[4:6] in (b"UL", b"OB", b"CS", b"UI", b"DA", b"TM", b"DT") or length <= 64
