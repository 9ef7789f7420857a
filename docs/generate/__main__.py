"""Write the generated pages: commands from their --help, libraries from their docstrings."""

from pathlib import Path

from docs.generate.api import api_pages
from docs.generate.cli import cli_pages
from memstore.files import write_atomic

DOCS = Path(__file__).parents[1]


def pages() -> dict[str, str]:
    """Text of every generated page, by its place in docs/."""
    return {**cli_pages(), **api_pages()}


if __name__ == "__main__":
    for place, text in pages().items():
        (DOCS / place).parent.mkdir(exist_ok=True)
        write_atomic(DOCS / place, text.encode())
        print(f"docs/{place}")
