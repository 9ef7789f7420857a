"""For the site's builder: the comment beside a field or a constant is its documentation."""

import re
from typing import Any

from griffe import Attribute, Docstring, Extension

_BESIDE = re.compile(r"  # (.+)$")


class Comments(Extension):
    """Read a comment at the end of an attribute's first line as a docstring, if it has none."""

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """Give an attribute its comment."""
        if attr.docstring is None and attr.lineno:
            line = attr.lines_collection[attr.filepath][attr.lineno - 1]
            if comment := _BESIDE.search(line):
                attr.docstring = Docstring(comment[1], parent=attr)
