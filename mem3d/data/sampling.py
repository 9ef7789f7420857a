"""A few models that stand for a whole data set."""

from collections import defaultdict
from collections.abc import Sequence


def spread(categories: Sequence[str], count: int) -> list[int]:
    """Choose up to `count` places, as even over the categories as can be, ascending.

    Within a category they lie at equal distances, so the choice depends on nothing else.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(categories):
        places[name].append(place)
    left, chosen = min(count, len(categories)), []
    by_size = sorted(places.values(), key=len)
    if left < len(by_size):  # not even one of each: some of the categories, small and large
        by_size = [by_size[(2 * k + 1) * len(by_size) // (2 * left)] for k in range(left)]
    for number, among in enumerate(by_size):
        # A category with fewer models leaves its part to the larger ones that follow.
        part = min(len(among), -(-left // (len(by_size) - number)))
        part = min(part, left)
        chosen += [among[(2 * k + 1) * len(among) // (2 * part)] for k in range(part)]
        left -= part
    return sorted(chosen)


def named(sources: Sequence[str], names: Sequence[str]) -> list[int]:
    """Places of the models called so, in full or by what follows the last "/".

    Raises:
        ValueError: a name that no model has, or several have.
    """
    found = []
    for name in names:
        places = [i for i, source in enumerate(sources) if name in (source, source.split("/")[-1])]
        if len(places) != 1:
            got = f"{name!r}, the name of {len(places)} models"
            raise ValueError(f"models: got {got}, want that of one")
        found += places
    return found
