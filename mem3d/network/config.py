"""What a model is, how it is trained, and the two with their memory as a preset."""

from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import Field, model_validator

from mem3d.bundled import STEM
from mem3d.data.images.augment import DEFAULT, Augmentation
from mem3d.data.images.framing import Background
from mem3d.settings import AtLeastOne, Count, Weight, from_plain, present_name, settings
from memstore import PAPER as PAPER_RULE
from memstore import FormatError, MemoryConfig
from memstore.json_text import parse_json

STEMS = (STEM, "imagenet", "none")  # weights of a stem that have a name
KEY_DIM = 128  # length of a ranked key, see heads/key.py
LARGEST = 2**16  # of any size: what a file may claim before it is believed

Size = Annotated[int, Field(ge=1, le=LARGEST)]
Channels = Annotated[int, Field(ge=0, le=LARGEST)]
Layers = Annotated[tuple[Size, ...], Field(min_length=1, max_length=7)]
ShapeEncoderKind = Literal["lstm", "fc", "box", "none"]
KeyKind = Literal["feature", "ranked"]
Precision = Literal["float32", "bfloat16"]
RateSchedule = Literal["halve", "cosine"]
SHAPE_ENCODERS: tuple[ShapeEncoderKind, ...] = get_args(ShapeEncoderKind)


@settings(
    fuse_priors="fuse",
    rescale_priors="stretch",
    prior_gate="gate",
    pixel_features="lift",
    pose_channels="pose",
)
class ModelConfig:
    """Sizes of the network; the defaults are the paper's.

    Raises:
        ValueError: a field is of another type or out of range, or two do not go together.

    Source: Mem3D sec. 3; widths as relayed in docs/paper.md.
    """

    image_size: Annotated[int, Field(ge=32, le=LARGEST)] = 224  # pixels per side
    head: tuple[Size, Size, Size] = (512, 256, 256)  # channels of the three convolutions
    hidden: Size = 2048  # H, length of the prior vector
    decoder: Layers = (512, 128, 32, 8)  # channels; each layer doubles the grid from 2^3
    key: KeyKind = "feature"  # of the memory: the paper's, or one that learned to rank (heads/)
    priors: Size = 8  # K, most grids recalled per image (the paper sets no limit)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # before the decoder
    shape_encoder: ShapeEncoderKind = "lstm"  # the paper's, or another: see shape_encoder.py
    prior_pool: AtLeastOne = 1  # side in voxels of the cubes that its priors are mean of
    refiner: Channels = 0  # of refiner.py, in place of the decoder's last layers; 0: none
    refiner_blocks: Annotated[int, Field(ge=1, le=64)] = 2  # pairs of convolutions in it
    fuse_priors: bool = False  # recalled grids go into the refiner, voxel by voxel
    rescale_priors: bool = False  # once they are rescaled to the extents predicted from the image
    prior_gate: bool = False  # and are weighed by how well they fit what the image alone says
    pixel_features: bool = False  # so do image features, by way of a camera predicted from it
    pose_channels: Channels = 0  # of a trunk for these predictions; 0: from the image feature

    @model_validator(mode="after")
    def _check_together(self) -> "ModelConfig":
        if self.resolution % self.prior_pool:
            raise ValueError(
                f"prior_pool: got {self.prior_pool}, want a divisor of the grid's side"
            )
        if (self.feature_dim + self.hidden) % 8:
            raise ValueError(
                f"hidden: got {self.hidden}, want feature_dim + hidden divisible by 8 "
                f"(feature_dim is {self.feature_dim}), since the decoder starts from a 2^3 grid"
            )
        for name in ("prior_gate", "rescale_priors"):
            if getattr(self, name) and not self.fuse_priors:
                raise ValueError(f"{name}: got True, want fuse_priors too: it is for that")
        if self.shape_encoder == "box" and not self.rescale_priors:
            raise ValueError("shape_encoder: got 'box', want rescale_priors too, for its extents")
        if self.pose_channels and not (self.pixel_features or self.rescale_priors):
            raise ValueError(
                f"pose_channels: got {self.pose_channels}, want 0 without pixel_features or "
                "rescale_priors to predict a pose for"
            )
        if (self.fuse_priors or self.pixel_features) and not self.refiner:
            raise ValueError("refiner: got 0, want channels for fuse_priors and pixel_features")
        if self.refiner and len(self.decoder) < 2:
            raise ValueError(f"decoder: got {self.decoder}, want 2 layers or more with a refiner")
        return self

    @property
    def map_side(self) -> int:
        """Pixels per side of the stem's maps: 28 at 224 pixels."""
        side = self.image_size
        for _ in range(3):  # the stem's three halvings, rounding up
            side = (side + 1) // 2
        return side

    @property
    def feature_dim(self) -> int:
        """C, length of the image feature: 12,544 at 224 pixels with 256 channels."""
        return self.head[-1] * (self.map_side // 4) ** 2

    @property
    def key_dim(self) -> int:
        """Length of the memory's keys: C, or KEY_DIM of ranked ones."""
        return KEY_DIM if self.key == "ranked" else self.feature_dim

    @property
    def resolution(self) -> int:
        """R, voxels per side: 2 doubled once per decoder layer."""
        return int(2 ** (len(self.decoder) + 1))


@settings(cached_views="variants")
class TrainConfig:
    """One run; the defaults are the paper's where it is known (docs/paper.md).

    Raises:
        ValueError: a field is of another type or out of range.
    """

    epochs: AtLeastOne = 250  # one epoch shows one random view of every model
    batch: AtLeastOne = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3  # Adam
    halve_at: tuple[float, ...] = (0.6,)  # shares of the run after which the rate is halved
    weight_decay: float = 0.0
    margin: float = 0.1  # alpha of the voxel triplet loss
    triplet_weight: Weight = 1.0
    dice_weight: Weight = 0.0  # of the soft Dice loss, beside the cross-entropy
    gate_weight: Weight = 0.05  # of the gate's cross-entropy, with prior_gate
    viewpoint_weight: Weight = 0.03  # of the predicted camera, with pixel_features
    extent_weight: Weight = 0.5  # of the predicted extents, with rescale_priors
    exclude_self: bool = False  # never recall the training sample's own shape
    freeze_stem: bool = False  # keep the ResNet stem as loaded, BatchNorm statistics included
    augment: bool = True
    augmentation: Augmentation = DEFAULT  # what that does
    cached_views: Count = 0  # with a frozen stem: augmented views per model, stem maps kept
    key_epochs: Count = 0  # before the others: only the ranked key learns, from then on it stays
    pose_epochs: Count = 0  # before the others: only the pose heads learn
    validate_every: AtLeastOne = 1  # epochs
    checkpoint_every: AtLeastOne = 1  # epochs; a run that dies goes on from the last one
    workers: Count = 2  # loader processes
    seed: int = 0
    view_seed: int | None = None  # of the augmented pictures; None: `seed`
    precision: Precision = "float32"  # of the forward pass in training, where the device has it
    patience: Count = 0  # end after so many validations without a better IoU; 0 = never
    schedule: RateSchedule = "halve"  # of the learning rate: at `halve_at`, or half a cosine to 0
    warmup: Count = 0  # optimizer steps over which the rate grows from nothing
    staleness_sample: Count = 64  # slots whose keys each validation compares with fresh ones

    @model_validator(mode="after")
    def _check_together(self) -> "TrainConfig":
        if self.cached_views and not self.freeze_stem:
            raise ValueError(f"cached_views: got {self.cached_views}, want 0 while the stem learns")
        return self


@settings()
class Preset:
    """Network, memory and run that belong together; saved in every checkpoint.

    Raises:
        ValueError: they do not belong together.
    """

    model: ModelConfig = ModelConfig()
    memory: MemoryConfig
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _check_together(self) -> "Preset":
        if self.train.pose_epochs and not (self.model.pose_channels and self.train.cached_views):
            raise ValueError(
                f"train.pose_epochs: got {self.train.pose_epochs}, want 0 without "
                "model.pose_channels or train.cached_views: a pose is learned first by layers of "
                "its own, from cached stem maps"
            )
        if self.train.key_epochs and not (
            self.model.key == "ranked" and self.train.cached_views > 1
        ):
            raise ValueError(
                f"train.key_epochs: got {self.train.key_epochs}, want 0 without model.key=ranked "
                "or train.cached_views above 1: it is learned from cached stem maps, of each shape "
                "from several pictures"
            )
        if self.model.key == "ranked" and self.train.triplet_weight:
            raise ValueError(
                f"train.triplet_weight: got {self.train.triplet_weight}, want 0 with "
                "model.key=ranked, which does not change in training"
            )
        if self.memory.columns:
            names = ", ".join(self.memory.columns)
            raise ValueError(f"memory.columns: got {names}, want none: nothing fills them here")
        if self.train.triplet_weight and self.memory.delta is None:
            raise ValueError(
                "memory.delta: got none, want a number in [0, 1] with train.triplet_weight, whose "
                "loss tells shapes that are as similar from others"
            )
        want = (self.model.key_dim, self.model.resolution)
        sizes = (self.memory.key_dim, self.memory.resolution)
        if sizes != want:
            raise ValueError(f"memory (key_dim, resolution): got {sizes}, want the model's {want}")
        return self

    @property
    def photo_background(self) -> Background | None:
        """What becomes of a photo's background by default, see `frame_photo`.

        A network that was trained over photos is shown it; for others the object is cut out.
        """
        return "keep" if self.train.augment and self.train.augmentation.backgrounds else None

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dict, JSON-able."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any], *, resuming: bool = False) -> "Preset":
        """Rebuild from `to_dict`, also after a trip through JSON, also as an old release wrote it.

        Args:
            values: nested dict.
            resuming: whether what is read shall be trained on: settings of training that are no
                more are then refused like those of the network, unless they had no effect.

        Raises:
            ValueError: a field is unknown, missing or out of range.
        """
        return from_plain(Preset, _without_retired(values, resuming))


_RETIRED: dict[str, dict[str, float]] = {
    "model": {"passes": 1, "pool": 64, "blend": 0, "shift": 0},
    "train": {
        "recon_weight": 1,
        "accumulate": 1,
        "contrast_weight": 0,
        "contrast_temperature": 0.1,
    },
}
"""Settings of older releases that are no more, each with the value that had no effect."""
_RULE = ("delta", "value_similarity", "when_full")
"""Settings of the memory that were the paper's where an older release has not written them."""


def _without_retired(values: Any, resuming: bool) -> Any:
    """Nested settings without those that are no more."""
    if not isinstance(values, dict):
        return values
    present = dict(values)
    if isinstance(memory := values.get("memory"), dict):
        rule = {name: getattr(PAPER_RULE, name) for name in _RULE}
        present["memory"] = {**rule, **memory}
    for group in _RETIRED:
        if not isinstance(values.get(group), dict):
            continue
        present[group] = dict(values[group])
        for name, want in _RETIRED[group].items():
            value = present[group].pop(name, want)
            if value != want and (group == "model" or resuming):
                raise ValueError(f"{group}.{name}: got {value!r}, want {want}: it is no more")
    return present


def changed(preset: Preset, settings: Iterable[str]) -> Preset:
    """A preset with single settings changed.

    Args:
        preset: to begin with.
        settings: "model.shape_encoder=fc", "train.halve_at=[0.5,0.75]": the path of a field and
            its value, as JSON (true, false) or, for words, as they are. A model's new sizes go into
            its memory's settings by themselves.

    Raises:
        ValueError: a path that leads to no field, or a value that does not fit.
    """
    values, kinds = preset.to_dict(), _kinds(Preset)
    for setting in settings:
        path, equals, text = setting.partition("=")
        path = path.strip()
        if path not in kinds:
            raise ValueError(f"setting: got {path!r}, want {_near(path, kinds)}")
        if not equals:
            raise ValueError(f"{path}: got no value, want {path}=VALUE")
        *groups, name = path.split(".")
        group: Any = values
        for part in groups:
            group = group[part]
        group[name] = text if kinds[path] is str else _parsed(text)
    model, memory = from_plain(ModelConfig, values["model"], "model"), values["memory"]
    for name, size in (("key_dim", model.key_dim), ("resolution", model.resolution)):
        if memory[name] == getattr(preset.memory, name):  # another one is for Preset to refuse
            memory[name] = size
    return from_plain(Preset, values)


def listed_stems() -> str:
    """The names of stems' weights, for errors."""
    return ", ".join(map(repr, STEMS))


def check_stem(source: str | Path) -> None:
    """Raise ValueError unless a stem's weights have a name, or are a safetensors file."""
    path, want = Path(source), f"want {listed_stems()} or a safetensors file"
    if source in STEMS:
        return
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "nothing there"
        raise ValueError(f"stem {source}: got {kind}, {want}")
    if path.suffix in (".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl"):
        target = str(path.with_suffix(".safetensors"))
        raise ValueError(
            f"stem {source}: got a pickle, which may run any code, {want}; two lines of Python "
            "convert it: `import torch, safetensors.torch` and `safetensors.torch.save_file("
            f"torch.load({str(path)!r}, weights_only=True), {target!r})`"
        )


def _parsed(text: str) -> Any:
    """JSON, or a word as it is."""
    try:
        return parse_json(text)
    except FormatError:
        return text


def _kinds(config: type, before: str = "") -> dict[str, Any]:
    """{"model.image_size": int, "train.augmentation.flip": float, ...}"""
    kinds: dict[str, Any] = {}
    for name, kind in get_type_hints(config).items():
        if isinstance(kind, type) and is_dataclass(kind):
            kinds |= _kinds(kind, f"{before}{name}.")
        else:
            kinds[before + name] = kind
    return kinds


def _near(path: str, paths: Iterable[str]) -> str:
    """What may have been meant instead of a path that is none."""
    last = path.rpartition(".")[2]
    for kind in (ModelConfig, TrainConfig, Augmentation):
        last = present_name(kind, last)
    names = {other: other.rpartition(".")[2] for other in paths}
    near = [other for other in names if other.startswith(f"{path}.") or names[other] == last]
    near += [other for other, end in names.items() if _initials(end) == last.lower()]
    near += get_close_matches(path, names, cutoff=0.75)
    ends = get_close_matches(last, dict.fromkeys(names.values()))
    near += [other for end in ends for other in names if names[other] == end]
    if not near:
        return "the name of a setting, such as train.epochs (mem3d-cli train --settings: all)"
    return f"the name of a setting; near that: {', '.join(list(dict.fromkeys(near))[:3])}"


def _initials(name: str) -> str:
    """lr, of learning_rate."""
    return "".join(word[:1] for word in name.split("_"))
