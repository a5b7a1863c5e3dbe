"""From Matplotlib's SVG file to an element of a page, in the page's own colours and font."""

from xml.etree import ElementTree

from markupsafe import Markup

# Colours that stand for the page's own: each is replaced by its CSS variable after drawing.
INK, LINE, PAPER = "#010101", "#020202", "#0f0f0f"
SERIES = ("#030303", "#040404", "#050505", "#060606", "#070707", "#080808")
_VARIABLES = {
    INK: "--soft",
    LINE: "--line",
    PAPER: "--page",
    **{colour: f"--series-{at}" for at, colour in enumerate(SERIES, 1)},
}
_XLINK = "{http://www.w3.org/1999/xlink}"
# The page gives a chart its size, and the ids of groups are the same in all of them.
_DROPPED = {"svg": ("width", "height", "version"), "g": ("id",)}
_PAINTS = ("fill", "stroke")


def inline(svg: str, label: str) -> Markup:
    """Leave of a stand-alone SVG file what belongs inside a page; ``label`` is read aloud."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - matplotlib has just written it
    for parent in list(root.iter()):
        for child in [*parent.findall("{*}metadata"), *parent.findall("{*}style")]:
            parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.partition("}")[2]
        for name in _DROPPED.get(element.tag, ()):
            element.attrib.pop(name, None)
        element.attrib = {
            name.replace(_XLINK, "xlink:"): _themed(value) if name == "style" else value
            for name, value in element.attrib.items()
        }
        _paint(element)
    root.attrib = {"role": "img", "aria-label": label, **root.attrib}
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - escaped by that


def _paint(element: ElementTree.Element) -> None:
    """Move colours of ours from attributes, which know no variables, to the style."""
    for name in _PAINTS:
        if element.attrib.get(name) in _VARIABLES:
            style = f"{name}: var({_VARIABLES[element.attrib.pop(name)]})"
            element.attrib["style"] = "; ".join(
                filter(None, [element.attrib.get("style", ""), style])
            )


def _themed(style: str) -> str:
    """Let a style take its colours and its font from the page, but not the font's size."""
    parts = [part.strip() for part in style.split(";") if part.strip()]
    declared = dict(part.partition(": ")[::2] for part in parts)
    declared.pop("font-family", None)
    if "font" in declared:
        declared["font-size"] = declared.pop("font").split()[0]
    return "; ".join(
        f"{name}: var({_VARIABLES[value]})" if value in _VARIABLES else f"{name}: {value}"
        for name, value in declared.items()
    )
