"""ShapeNet's categories, and names of shapes as people read them."""

from memstore.voxels.names import NAMES as NAMES
from memstore.voxels.names import SYNSETS as SYNSETS

# Other names that people and programs use for these categories.
ALIASES = {
    "airplane": "aeroplane",
    "plane": "aeroplane",
    "cellphone": "telephone",
    "loudspeaker": "speaker",
    "monitor": "display",
    "vessel": "watercraft",
}

LONGEST = 15  # characters per line below a drawn shape


def category_of(shape_id: str) -> str | None:
    """Name of the category that an id "synset/model", or "bed/model", begins with; else None."""
    category, _, shape = shape_id.partition("/")
    if not shape:
        return None
    name = ALIASES.get(category, category)
    return name if name in NAMES.values() else NAMES.get(category)


def titled(shape_id: str) -> str:
    """A shape's id below a picture: its category by name, a long name cut in its middle."""
    category = category_of(shape_id)
    lines = [shape_id or "no source"]
    if category is not None:
        lines = [category, shape_id.partition("/")[2]]
    return "\n".join(line if len(line) <= LONGEST else _cut(line) for line in lines)


def _cut(text: str) -> str:
    """Both ends of a shape's name tell it apart."""
    return f"{text[: LONGEST - 6]}…{text[-5:]}"
