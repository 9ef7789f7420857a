"""A trained network with its memory as huggingface_hub's own mixin has it (extra `hub`).

`Reconstructor` reads and writes the same folders without that package. Here are all of the hub's
options besides: tokens, branches, pull requests, cache folders.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from huggingface_hub import ModelHubMixin, snapshot_download

from mem3d.inference import pretrained
from mem3d.inference.reconstructor import Reconstructor
from mem3d.network.checkpoint import CONFIG, FILES
from mem3d.network.config import Preset
from mem3d.network.model import Mem3D
from memstore import Memory


class HubReconstructor(  # type: ignore[misc]  # the package's types are not looked at
    ModelHubMixin,
    Reconstructor,
    library_name="mem3d",
    pipeline_tag="image-to-3d",
    tags=["mem3d", "single-view-reconstruction"],
):
    """A Reconstructor whose `save_pretrained`, `from_pretrained`, `push_to_hub` are the mixin's.

    Folders are those of `pretrained.save_folder`, so `mem3d.load` opens them too. Unlike there, a
    folder may exist already, as the hub's conventions have it: our files in it are replaced one by
    one, the settings last.

    Raises:
        ValueError: in `from_pretrained`: a file is missing, damaged or too large.
    """

    # Not "preset": the mixin would build it from config.json by rules of its own.
    def __init__(self, network: Mem3D, memory: Memory, settings: Preset) -> None:
        Reconstructor.__init__(self, network, memory, settings)

    def _save_pretrained(self, save_directory: Path) -> None:
        with TemporaryDirectory(dir=save_directory.resolve().parent) as beside:
            made = Path(beside) / "model"
            pretrained.save_folder(made, self.model, self.memory, self.preset)
            names = sorted(made.iterdir(), key=lambda path: path.name == CONFIG)
            for path in names:
                os.replace(path, save_directory / path.name)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        device: str = "cpu",
        **_: Any,
    ) -> Self:
        folder = Path(model_id)
        if not folder.is_dir():
            fetched = snapshot_download(
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=list(FILES),
            )
            folder = Path(fetched)
        return cls(*pretrained.load_folder(folder, device))
