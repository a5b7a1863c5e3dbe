"""Where the templates of pages are rendered."""

from pathlib import Path

import jinja2


def environment() -> jinja2.Environment:
    """Reads the templates of this folder; what they do not know is an error, and not nothing."""
    return jinja2.Environment(
        # Not by file extension: every value of every template is text from somewhere else.
        autoescape=True,
        loader=jinja2.FileSystemLoader(str(Path(__file__).parent)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
