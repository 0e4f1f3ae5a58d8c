"""A figure as SVG inside a page, with selectable text, the page's colours, and ids that are unique on the page."""

import io
import re
from collections.abc import Mapping
from xml.etree import ElementTree

CLASSES = ("curve", "band", "seed", "level")
"""The classes of elements that a page can find and style, from matplotlib's gid."""


def inline_svg(picture, name: str, label: str, colours: Mapping[str, str]) -> str:
    """Returns the `<svg>` element of a figure. It is deterministic, and scales to the width of its container.

    **Arguments:**

    - `picture`: the figure.
    - `name`: the prefix of its ids, unique on the page.
    - `label`: the description for screen readers.
    - `colours`: the CSS variables that replace colours; where a variable is not set, its colour remains.
    """
    buffer = io.BytesIO()
    picture.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for element in list(root.iter()):
        for child in list(element):
            if _local(child.tag) in ("metadata", "style"):
                element.remove(child)
        element.tag = _local(element.tag)
        element.text, element.tail = (element.text if element.tag == "text" else None), None
        element.attrib = {_local(key): value for key, value in element.attrib.items()}
        _tidy(element.attrib, name, colours)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _tidy(attributes: dict[str, str], name: str, colours: Mapping[str, str]) -> None:
    kind = attributes.get("id", "")
    if kind in CLASSES:
        attributes["class"] = attributes.pop("id")
    elif kind:
        attributes["id"] = f"{name}-{kind}"
    if "href" in attributes:
        attributes["href"] = attributes["href"].replace("#", f"#{name}-")
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("#", f"#{name}-")
    if "d" in attributes:
        attributes["d"] = " ".join(re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.4g}", attributes["d"]).split())
    if "style" in attributes:
        style = re.sub(r"font-family: [^;]*;? ?", "", attributes["style"])
        attributes["style"] = re.sub(r"#[0-9a-f]{6}", lambda colour: _variable(colour[0], colours), style)


def _variable(colour: str, colours: Mapping[str, str]) -> str:
    return f"var({colours[colour]}, {colour})" if colour in colours else colour


def _local(name: str) -> str:
    return name.rpartition("}")[2]
