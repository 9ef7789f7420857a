"""The model card of a published network: what others read before they use it."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mem3d.markdown import page, sections
from mem3d.network.checkpoint import PAGE, PICTURE, State
from mem3d.network.config import Preset

_FOLDERS = re.compile(r"`[^`\n]*/([^`/\n]+)/?`")  # code that is a path: only its end is shown

_HEAD = """\
---
library_name: mem3d
pipeline_tag: image-to-3d
tags:
- mem3d
- 3d-reconstruction
- voxel
- retrieval
---
"""
_USE = """\
## Use

```python
import mem3d

with mem3d.load("FOLDER") as reconstructor:
    result = reconstructor.reconstruct("photo.png")
    result.save("photo.glb")
```

or `mem3d-cli reconstruct FOLDER photo.png`. From the Hugging Face Hub:
`mem3d.Reconstructor.from_pretrained("owner/name")`.
"""
_FILES = """\
## Files

- `config.json`: settings
- `model.safetensors`: weights
- `MEMORY`: the memory of shapes, as memstore exports it
  (`memstore.import_memory("MEMORY")`)

There is no pickle here. **The memory holds voxel grids of the training shapes and their names**;
their license is that of the data that the network was trained on.
"""
_LIMITS = """\
## Limits

One object per photo; colors and texture are not reconstructed. What looks unlike all shapes that
the network was trained on comes out wrong. Method: Mem3D (Yang et al., CVPR 2021).
"""


@dataclass(frozen=True)
class Card:
    """What is known of a training.

    Attributes:
        facts: JSON-able, for config.json.
        training: Markdown, a few lines on data and epochs.
        validation: Markdown section with the scores, "" if there is none.
        picture: PNG of validation models; None if there is none.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    training: str = ""
    validation: str = ""
    picture: Path | None = None


def card_of_run(run: Path, state: State) -> Card:
    """What a run's folder says: its page, where training has ended, and its checkpoint.

    The places of its data are left out: of a path, only the last part is shown.
    """
    facts: dict[str, Any] = {"steps": state.step}
    if math.isfinite(state.validation_iou):
        facts["validation_iou"] = round(state.validation_iou, 4)
    texts = sections(run / PAGE)
    picture = run / PICTURE
    training = _FOLDERS.sub(r"`\1`", texts.get("", ""))
    return Card(
        facts,
        training or f"{state.step:,} steps of training.",
        _FOLDERS.sub(r"`\1`", texts.get("Validation", "")),
        picture if picture.is_file() else None,
    )


def card_text(preset: Preset, slots: int, card: Card, memory: str) -> str:
    """Markdown with the hub's front matter.

    Args:
        preset: of the network.
        slots: of the memory that are used.
        card: what is known of the training.
        memory: name of the memory's file.
    """
    model = preset.model
    size = (
        f"One photo in ({model.image_size} pixels a side), a {model.resolution}^3 voxel shape out, "
        f"with a memory of {slots:,} shapes."
    )
    validation = []
    if card.validation:
        validation = ["## Validation", card.validation]
        if card.picture is not None:
            caption = "Validation shapes: photo, truth, reconstruction, recalled shapes"
            validation.append(f"![{caption}]({PICTURE})")
    parts = [
        "# A trained Mem3D",
        size,
        card.training,
        *validation,
        _USE,
        _FILES.replace("MEMORY", memory),
    ]
    parts.append(_LIMITS)
    return _HEAD + "\n" + page(*parts)
