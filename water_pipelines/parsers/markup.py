"""XML from strangers in bounded memory: elements as they end, by local names in lower case, whatever their namespaces are called.

Add here what the formats in XML share. What an element means belongs to the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, iterparse

from water_pipelines.parsers import encoding
from water_pipelines.parsers.contract import Head, UnreadableFile, read_head
from water_pipelines.parsers.mapping import Mapping

_ROOT = re.compile(r"<(?![?!])(?:[\w.-]+:)?([\w.-]+)")


def text_of(head: Head) -> str:
    """The beginning of an XML file in any encoding; empty where the file is no XML."""
    charset = encoding.detect(head.start)
    text = "" if charset is None else head.start.decode(charset, "replace").lstrip("\ufeff \t\r\n")
    return text if text.startswith("<") else ""


def root_of(head: Head) -> str:
    """Local name of the root in lower case; empty where the file is no XML."""
    found = _ROOT.search(re.sub(r"<!--.*?-->", "", text_of(head), flags=re.DOTALL))
    return found[1].lower() if found else ""


def local(tag: str) -> str:
    """A name without its namespace, in lower case.

    >>> local("{http://www.cuahsi.org/waterML/1.1/}siteName")
    'sitename'
    """
    return tag.rpartition("}")[2].lower()


def attribute(element: Element, name: str) -> str | None:
    """An attribute by its local name in lower case; None where it is absent or empty."""
    return next((value.strip() for key, value in element.attrib.items() if local(key) == name and value.strip()), None)


def child(element: Element, *path: str) -> Element | None:
    """The first descendant on a path of local names."""
    here: Element | None = element
    for name in path:
        here = next((one for one in here if local(one.tag) == name), None) if here is not None else None
    return here


def children(element: Element, name: str) -> list[Element]:
    """Children by their local name."""
    return [one for one in element if local(one.tag) == name]


def find(element: Element, name: str) -> Element | None:
    """The first descendant of a local name, at any depth."""
    return next((one for one in element.iter() if local(one.tag) == name), None)


def text(element: Element | None) -> str | None:
    """What an element says; None where it is absent or says nothing."""
    return (element.text or "").strip() or None if element is not None else None


def charset_of(stream: BinaryIO, mapping: Mapping) -> str | None:
    """The encoding of an XML file that declares none and is not in UTF-8, which XML would have; None where the file is as it says."""
    head = read_head(stream, mapping)
    declares = re.match(rb"\s*(?:\xef\xbb\xbf)?<\?xml[^>]*encoding", head.start) is not None
    return None if declares or head.start[:2] in (b"\xff\xfe", b"\xfe\xff") else mapping.encoding or encoding.detect(head.start)


def walk(stream: BinaryIO, drop: frozenset[str], charset: str | None = None) -> Iterator[tuple[str, tuple[str, ...], Element]]:
    """Start and end of every element, with the local names of its ancestors.

    Parameters
    ----------
    drop : frozenset of str
        Elements (``name`` or ``parent/name``) that are forgotten when they have ended: a long file needs no more memory than a short one.
    charset : str, optional
        The encoding, where it is another than the file says or XML would have.

    Yields
    ------
    ``start`` or ``end``, the path that ends with the element's own name, the element (whole at its end only).

    Raises
    ------
    UnreadableFile
        The XML is damaged, cut off, or declares entities.
    """
    stack: list[Element] = []
    path: tuple[str, ...] = ()
    try:
        parser = DefusedXMLParser(target=TreeBuilder(), encoding=charset)
        for event, element in iterparse(encoding.Own(stream), events=("start", "end"), parser=parser):
            if event == "start":
                stack.append(element)
                path = (*path, local(element.tag))
                yield event, path, element
                continue
            yield event, path, element
            stack.pop()
            if path[-1] in drop or "/".join(path[-2:]) in drop:
                element.clear()
                if stack:
                    stack[-1].remove(element)
            path = path[:-1]
    except ParseError as error:
        line, column = error.position
        raise UnreadableFile(
            f"The XML is damaged or cut off at line {line}, column {column}: {str(error).split(':')[0]}. Download it again."
        ) from error
    except DefusedXmlException as error:
        raise UnreadableFile(
            "The XML declares entities or a document type of its own, which no data service does. It is refused for safety."
        ) from error
    except (LookupError, ValueError) as error:
        raise UnreadableFile(f"The XML cannot be read: {error}. Save it in UTF-8.") from error
