"""Inner loops of search and recall, compiled where the package is built with a C compiler."""
