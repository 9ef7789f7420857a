"""Lets torchvision import next to a CPU-only torch.

The torchvision wheel on PyPI is built against CUDA. Beside a torch without CUDA its compiled
extension cannot be loaded, and `import torchvision` then fails because it registers fake kernels
for two operators nobody declared ("operator torchvision::nms does not exist", pytorch/vision#9077).
Declaring the two schemas is enough; where the extension loads, nothing is declared. Import this
module before torchvision.
"""

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _declare_missing() -> torch.library.Library | None:
    """Declare the two operators if torchvision's extension cannot; the result must stay alive."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision: got no installation, want one: pip install torchvision")
    for extension in sorted(Path(spec.origin).parent.glob("_C*.so")):
        try:
            torch.ops.load_library(str(extension))  # type: ignore[no-untyped-call]
            return None
        except OSError:  # built for CUDA libraries that are not on this machine
            continue
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


DECLARED = _declare_missing()
"""The declared schemas, or None where torchvision's own extension works."""
