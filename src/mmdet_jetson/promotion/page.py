"""What the pages share: templates in which all text is text, and how numbers and times are said."""

from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2
from markupsafe import Markup

from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE, PASS
from mmdet_jetson.promotion.history import day
from mmdet_jetson.promotion.release_figures import Figure

Plain = Callable[[str], str]
"""Takes out of foreign text what is not seen, or turns the order of others around."""


def render(template: str, plain: Plain, values: Mapping[str, object]) -> str:
    """One HTML page that needs nothing beside itself: no file, no network, no script."""
    environment = jinja2.Environment(
        # Every value is text of somebody: of a record, of a bundle from elsewhere.
        autoescape=True,
        finalize=lambda value: _told(value, plain),
        loader=jinja2.FileSystemLoader(str(Path(__file__).parent)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        day=day,
        tone=tone,
        decimals=lambda value, digits: f"{value:.{digits}f}",
        between=between,
        is_web=lambda text: text.startswith(("https://", "http://")),
        capitalize_first=lambda text: text[:1].upper() + text[1:],
    )
    return environment.get_template(template).render(**values)


def _told(value: object, plain: Plain) -> object:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def tone(outcome: str) -> str:
    """The class that colours an outcome; whatever is none of ours proves nothing."""
    return outcome if outcome in (PASS, FAIL) else INCONCLUSIVE


def between(figure: Figure, digits: int) -> str:
    """The interval of a figure, be it open at an end."""
    low, high = (None if end is None else f"{end:.{digits}f}" for end in (figure.low, figure.high))
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"
