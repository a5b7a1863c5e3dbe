"""Read XML that people and annotation tools wrote, without what XML could do beyond elements.

Entities can grow a few bytes to gigabytes or name files of this machine, and only a document type
declares them: a file with one is refused when the parser meets it, before anything is expanded
(defusedxml does the same; it would be one more package on both sides for these lines).
"""

import re
from pathlib import Path
from typing import Dict, Optional, Union
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mmdet_jetson.stages.annotations.findings import Defect
from mmdet_jetson.stages.annotations.strict_json import number

_EXPORT_AGAIN = "export the annotations again; a file cut off while copying looks like this too"
_ENCODING = re.compile(rb"""\A\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
# What the parser reads by itself; other encodings, such as GBK, are decoded for it.
_PARSED = {"utf-8", "utf8", "utf-16", "us-ascii", "ascii", "iso-8859-1"}
_DEEPEST = 100


def load(path: Path) -> Element:
    """The root element of an XML file.

    Raises:
        Defect: a folder, unreadable, not XML, nested too deeply, or with a document type.
    """
    if path.is_dir():
        raise Defect("is a folder, not an XML file", "name the annotation file inside it")
    try:
        return _parsed(_text(path.read_bytes()))
    except OSError as error:
        raise Defect(f"cannot be read ({error.strerror})", "make it readable") from error
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise Defect(f"is not XML (line {error.lineno}: {reason})", _EXPORT_AGAIN) from error
    except (LookupError, ValueError) as error:
        raise Defect(f"is not usable XML ({error})", "save it with the encoding UTF-8") from error


def _text(data: bytes) -> Union[bytes, str]:
    declared = _ENCODING.match(data)
    encoding = declared.group(1).decode("ascii") if declared else "utf-8"
    return data if encoding.lower() in _PARSED else data.decode(encoding)


def _parsed(text: Union[bytes, str]) -> Element:
    builder = TreeBuilder()
    depth = 0

    def start(tag: str, attributes: Dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise Defect("is nested too deeply", _EXPORT_AGAIN)
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.Parse(text, True)
    return builder.close()


def _refuse_document_type(*_: object) -> None:
    raise Defect(
        "has a document type (<!DOCTYPE ...>), which could make it grow without end or read other "
        "files",
        "remove that declaration if you trust the file",
    )


def numeral(text: Optional[str], name: str) -> float:
    """The number that a text is.

    Raises:
        Defect: it is none, or not finite; ``name`` says which one.
    """
    try:
        return number(float(text or ""), name)
    except ValueError:
        what = "missing" if text is None else f'"{text.strip()[:40]}"'
        raise Defect(f"{name} is {what}, not a number", "draw the region again") from None
