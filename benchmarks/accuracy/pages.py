"""Tables between marks in docs/accuracy.md."""

import re
from pathlib import Path

from blis.files.output import replacing

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
_PLACE = re.compile(r"<!-- accuracy: (?P<name>[\w ]+) -->\n.*?<!-- /accuracy -->", re.DOTALL)


def with_tables(text, tables):
    """The page with tables in all the places that have their names."""

    def filled(place):
        return f"<!-- accuracy: {place['name']} -->\n\n{tables[place['name']]}\n\n<!-- /accuracy -->"

    return _PLACE.sub(filled, text)


def write_page(tables, path=PAGE):
    """Put the tables into the page."""
    text = with_tables(path.read_text(encoding="utf-8"), tables)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
