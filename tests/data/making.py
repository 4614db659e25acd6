"""Files made byte by byte, for kinds that Pillow reads but does not write."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import tifffile
from PIL import Image


def saved(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """An image as a file, by Pillow."""
    stream = BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


ADAM_7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
"""PNG specification, section 8: each pass's first row and column, and its steps."""


def png(
    samples: np.ndarray, colour_type: int, transparent: bytes = b"", interlaced: bool = False, **chunks: bytes
) -> bytes:
    """A 16-bit PNG of colour type 0 (grey), 2 (RGB), 4 (grey + alpha) or 6 (RGBA), with further chunks by name."""
    rows, cols = samples.shape[:2]
    passes = [samples[top::down, left::right] for top, left, down, right in ADAM_7] if interlaced else [samples]
    scanlines = b"".join(b"\0" + row.astype(">u2").tobytes() for part in passes if part.size for row in part)
    header = struct.pack(">IIBBBBB", cols, rows, 16, colour_type, 0, 0, int(interlaced))
    said = [(name.encode(), content) for name, content in {**chunks, "tRNS": transparent}.items() if content]
    parts = [(b"IHDR", header), *said, (b"IDAT", zlib.compress(scanlines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def png_header(rows: int, cols: int) -> bytes:
    """A 1-bit PNG that declares a size and holds no pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", cols, rows, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def tiff(samples: np.ndarray, **options: object) -> bytes:
    """A TIFF by tifffile."""
    stream = BytesIO()
    tifffile.imwrite(stream, samples, **options)
    return stream.getvalue()


def with_tag(content: bytes, code: int, value: int) -> bytes:
    """A little-endian TIFF with the value of one tag replaced."""
    with tifffile.TiffFile(BytesIO(content)) as file:
        tag = file.pages[0].tags[code]
    layout = {3: "<H", 4: "<I"}[int(tag.dtype)]
    changed = bytearray(content)
    struct.pack_into(layout, changed, tag.valueoffset, value)
    return bytes(changed)


def adobe_segment(jpeg: bytes) -> slice:
    """Where the Adobe marker segment of a JPEG is."""
    start = jpeg.index(b"\xff\xee")
    return slice(start, start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big"))


def dicom(stored: np.ndarray, syntax: str = "ExplicitVRLittleEndian", frame: bytes = b"", **elements: object) -> bytes:
    """A DICOM file of one image; ``elements`` add to or replace what is said about it (None removes).

    Args:
        stored: the samples.
        syntax: keyword of the transfer syntax.
        frame: the samples as that syntax compresses them.
        elements: by keyword.
    """
    from pydicom import Dataset, dcmwrite, uid
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate

    meta, name = FileMetaDataset(), uid.generate_uid(entropy_srcs=["zsad"])
    meta.TransferSyntaxUID = getattr(uid, syntax)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = uid.SecondaryCaptureImageStorage, name
    dataset = Dataset()
    dataset.file_meta = meta
    bits, order = stored.dtype.itemsize * 8, ">" if syntax == "ExplicitVRBigEndian" else "<"
    described = {
        "SOPClassUID": uid.SecondaryCaptureImageStorage,
        "SOPInstanceUID": name,
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PixelData": encapsulate([frame]) if frame else stored.astype(stored.dtype.newbyteorder(order)).tobytes(),
    }
    for keyword, value in (described | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if frame or bits == 8 else "OW"
        dataset["PixelData"].is_undefined_length = bool(frame)
    stream = BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def item(**elements: object) -> Any:
    """An item of a DICOM sequence."""
    from pydicom import Dataset

    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def table(entries: list[int], bits: int) -> object:
    """A DICOM lookup table whose first entry belongs to the value 0."""
    from pydicom import Dataset

    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries), 0, bits], entries
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return item


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
