"""First bytes of formats, taken or not, and what is said of those that are not."""

from __future__ import annotations

import re

__all__ = ["OTHERS", "PICTURES", "RAW"]

PICTURES = tuple(
    (name, re.compile(pattern, re.DOTALL))
    for name, pattern in (
        ("JPEG", rb"\xff\xd8"),
        ("PNG", rb"\x89PNG\r\n\x1a\n"),
        ("GIF", rb"GIF8"),
        # Two letters are a weak sign: the length of the second header as well.
        ("BMP", rb"BM.{12}[\x0c-\xff]\x00\x00\x00"),
        ("WEBP", rb"RIFF.{4}WEBP"),
        ("JXL", rb"\xff\x0a|\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a"),
    )
)
"""Taken, and told by their first bytes."""

RAW = {
    b"NIKON": "Nikon (NEF)", b"SONY": "Sony (ARW)", b"CANON": "Canon (CR2, TIF)", b"PENTAX": "Pentax (PEF)",
    b"SAMSUNG": "Samsung (SRW)", b"PHASE ONE": "Phase One (IIQ)", b"HASSELBLAD": "Hasselblad (3FR)", b"EPSON": "Epson (ERF)",
    b"KODAK": "Kodak (DCR)", b"EASTMAN KODAK": "Kodak (DCR)", b"LEAF": "Leaf (MOS)", b"MAMIYA": "Mamiya (MEF)",
    b"LEICA": "Leica (RWL)",
}  # fmt: skip
"""Makers of raw photos that are TIFFs, by the tag that names them."""

_UNSUPPORTED, _NOT_AN_IMAGE = "unsupported_format", "not_an_image"
_AS_JPEG, _AS_PNG, _EXPORT = "send it as JPEG", "send it as JPEG or PNG", "export it as JPEG and send that"
_UNPACKED, _STILL = "send the picture itself, unpacked", "send a still picture, as JPEG"
_PAGE = "send the picture itself, as JPEG"

_TABLE = (
    (rb"\s{0,64}%PDF", _UNSUPPORTED, "a PDF document", _PAGE),
    (rb"8BPS", _UNSUPPORTED, "a Photoshop file (PSD)", _EXPORT),
    (rb"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a", _UNSUPPORTED, "a JPEG 2000 picture", _AS_JPEG),
    (rb"\xffO\xffQ", _UNSUPPORTED, "a JPEG 2000 picture", _AS_JPEG),
    (rb"II\xbc", _UNSUPPORTED, "a JPEG XR picture", _AS_JPEG),
    (rb"FUJIFILMCCD-RAW", _UNSUPPORTED, "a raw photo of a camera of Fujifilm (RAF)", _EXPORT),
    (rb"IIRO", _UNSUPPORTED, "a raw photo of a camera of Olympus (ORF)", _EXPORT),
    (rb"IIRS", _UNSUPPORTED, "a raw photo of a camera of Olympus (ORF)", _EXPORT),
    (rb"MMOR", _UNSUPPORTED, "a raw photo of a camera of Olympus (ORF)", _EXPORT),
    (rb"IIU\x00", _UNSUPPORTED, "a raw photo of a camera of Panasonic (RW2)", _EXPORT),
    (rb"FOVb", _UNSUPPORTED, "a raw photo of a camera of Sigma (X3F)", _EXPORT),
    (rb"\x00MRM", _UNSUPPORTED, "a raw photo of a camera of Minolta (MRW)", _EXPORT),
    (rb"II\x1a\x00\x00\x00HEAPCCDR", _UNSUPPORTED, "a raw photo of a camera of Canon (CRW)", _EXPORT),
    (rb"%!PS", _UNSUPPORTED, "a PostScript drawing (EPS)", _AS_PNG),
    (rb"\xc5\xd0\xd3\xc6", _UNSUPPORTED, "a PostScript drawing (EPS)", _AS_PNG),
    (rb"\xd7\xcd\xc6\x9a", _UNSUPPORTED, "a Windows drawing (WMF)", _AS_PNG),
    (rb".{40} EMF", _UNSUPPORTED, "a Windows drawing (EMF)", _AS_PNG),
    (rb"v/1\x01", _UNSUPPORTED, "an OpenEXR picture", _AS_JPEG),
    (rb"#\?RADIANCE", _UNSUPPORTED, "a Radiance picture (HDR)", _AS_JPEG),
    (rb"#\?RGBE", _UNSUPPORTED, "a Radiance picture (HDR)", _AS_JPEG),
    (rb"gimp xcf", _UNSUPPORTED, "a GIMP file (XCF)", _EXPORT),
    (rb"qoif", _UNSUPPORTED, "a QOI picture", _AS_PNG),
    (rb"DDS ", _UNSUPPORTED, "a DirectDraw picture (DDS)", _AS_PNG),
    (rb"icns", _UNSUPPORTED, "an icon of macOS (ICNS)", "send it as PNG"),
    (rb"AT&TFORM", _UNSUPPORTED, "a DjVu document", _PAGE),
    (rb"\x8aMNG\x0d\x0a\x1a\x0a", _UNSUPPORTED, "an MNG animation", _STILL),
    (rb"SIMPLE  =", _UNSUPPORTED, "a FITS picture, of astronomy", _AS_JPEG),
    (rb".{128}DICM", _UNSUPPORTED, "a DICOM picture, of medicine", _AS_JPEG),
    (rb"/\* XPM \*/", _UNSUPPORTED, "an XPM picture", _AS_PNG),
    (rb"\x1aE\xdf\xa3", _UNSUPPORTED, "a video (WebM, MKV)", _STILL),
    (rb"\x00\x00\x01\xba", _UNSUPPORTED, "a video (MPEG)", _STILL),
    (rb"\x00\x00\x01\xb3", _UNSUPPORTED, "a video (MPEG)", _STILL),
    (rb"FLV\x01", _UNSUPPORTED, "a video (FLV)", _STILL),
    (rb"0&\xb2u\x8ef\xcf\x11", _UNSUPPORTED, "a video (WMV)", _STILL),
    (rb"OggS", _UNSUPPORTED, "a video or sound recording (Ogg)", _STILL),
    (rb"ID3", _UNSUPPORTED, "a sound recording (MP3)", _STILL),
    (rb"\x1f\x8b", _UNSUPPORTED, "a file packed by gzip", _UNPACKED),
    (rb"BZh[1-9]", _UNSUPPORTED, "a file packed by bzip2", _UNPACKED),
    (rb"\xfd7zXZ\x00", _UNSUPPORTED, "a file packed by xz", _UNPACKED),
    (rb"\(\xb5/\xfd", _UNSUPPORTED, "a file packed by Zstandard", _UNPACKED),
    (rb"7z\xbc\xaf\x27\x1c", _UNSUPPORTED, "a 7-Zip archive", _UNPACKED),
    (rb"Rar!\x1a\x07", _UNSUPPORTED, "a RAR archive", _UNPACKED),
    (rb".{257}ustar", _UNSUPPORTED, "a tar archive", _UNPACKED),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _UNSUPPORTED, "an Office document (DOC, XLS, PPT)", _PAGE),
    (rb"\{\\rtf", _UNSUPPORTED, "a text document (RTF)", _PAGE),
    (rb"\x00\x05\x16\x07", _NOT_AN_IMAGE, "notes of macOS about a file (AppleDouble, ._NAME)", "send the file NAME itself"),
    (rb"\x00\x05\x16\x00", _NOT_AN_IMAGE, "a file wrapped by macOS (AppleSingle)", "send the file itself"),
    (rb"\x00\x00\x00\x01Bud1", _NOT_AN_IMAGE, "notes of macOS about a folder (.DS_Store)", "send the picture itself"),
    (rb"MZ.\x00", _NOT_AN_IMAGE, "a program of Windows", "send a picture"),
    (rb"\x7fELF", _NOT_AN_IMAGE, "a program of Linux", "send a picture"),
    (rb".{4}ftypcrx ", _UNSUPPORTED, "a raw photo of a camera of Canon (CR3)", _EXPORT),
    (rb".{4}ftypM4[AB] ", _NOT_AN_IMAGE, "a sound recording (M4A)", "send a picture"),
    (rb"(?:.{4}ftypqt  |\x00.{3}(?:moov|mdat|wide|free|skip|pnot))", _UNSUPPORTED, "a video (MOV)", _STILL),
    (rb".{4}ftyp", _UNSUPPORTED, "a video (MP4)", _STILL),
    (rb"RIFF.{4}AVI ", _UNSUPPORTED, "a video (AVI)", _STILL),
    (rb"RIFF.{4}WAVE", _NOT_AN_IMAGE, "a sound recording (WAV)", "send a picture"),
    (
        rb"PK\x03\x04.*?(?:\[Content_Types\]\.xml|word/|xl/|ppt/|mimetypeapplication/vnd\.oasis)",
        _UNSUPPORTED,
        "an Office document (DOCX, XLSX, PPTX, ODT)",
        _PAGE,
    ),
    (rb"PK(?:\x03\x04|\x05\x06)", _UNSUPPORTED, "a ZIP archive", _UNPACKED),
    (rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]", _UNSUPPORTED, "a PCX picture", _AS_PNG),
    (rb"\x00\x00[\x01\x02]\x00(?!\x00\x00)", _UNSUPPORTED, "an icon or cursor (ICO, CUR)", "send it as PNG"),
    (rb"P[1-7][ \n\r\t]", _UNSUPPORTED, "a netpbm picture (PNM)", _AS_PNG),
    (rb"P[Ff]\n", _UNSUPPORTED, "a floating-point picture (PFM)", _AS_JPEG),
)

OTHERS = tuple((re.compile(pattern, re.DOTALL), code, f"{what}: {remedy}") for pattern, code, what, remedy in _TABLE)
"""Not taken: what a file begins with, the reason code, and what it is and what to do. The first that fits counts."""
