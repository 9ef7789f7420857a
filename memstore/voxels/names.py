"""Sources of shapes as people read them: category and name, ShapeNet's numbers as words."""

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

NAMES = SYNSETS | {"02818832": "bed", "02871439": "bookshelf"}  # beyond the usual thirteen


def short_name(source: str) -> str:
    """A source as captions have it: "category/id" or "category/id/view" on two lines.

    Args:
        source: of a slot; one that is no such path stays on one line.

    Returns:
        One line or two, never empty; a sheet shortens them in their middle where they do not fit.
    """
    source = " ".join(source.split())
    category, *rest = source.split("/")
    if not rest or not category or not all(rest):
        return source or "no source"
    return f"{NAMES.get(category, category)}\n{'/'.join(rest)}"
