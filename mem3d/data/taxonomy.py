"""ShapeNet's categories, and names of shapes as people read them."""

# ShapeNet synset -> name, as in Pix2Vox's split file.
SYNSETS = {
    "02691156": "aeroplane",
    "02828884": "bench",
    "02933112": "cabinet",
    "02958343": "car",
    "03001627": "chair",
    "03211117": "display",
    "03636649": "lamp",
    "03691459": "speaker",
    "04090263": "rifle",
    "04256520": "sofa",
    "04379243": "table",
    "04401088": "telephone",
    "04530566": "watercraft",
}

# Other names that people and programs use for these categories.
ALIASES = {
    "airplane": "aeroplane",
    "plane": "aeroplane",
    "cellphone": "telephone",
    "loudspeaker": "speaker",
    "monitor": "display",
    "vessel": "watercraft",
}

NAMES = SYNSETS | {"02818832": "bed", "02871439": "bookshelf"}  # beyond the usual thirteen
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
