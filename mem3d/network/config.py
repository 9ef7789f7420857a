"""What a model is, how it is trained, and the two with their memory as a preset."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from math import inf
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch  # noqa: F401  (before faiss, which memstore loads: the other order is 30 % slower)

from mem3d.data.images.augment import DEFAULT, Augmentation
from memstore import MemoryConfig

SHAPE_ENCODERS = ("lstm", "mean", "attention", "fc", "box", "none")  # see shape_encoder.py
LARGEST = 2**16  # of any size: what a file may claim before it is believed


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes of the network; the defaults are the paper's.

    Source: Mem3D sec. 3; widths as relayed in docs/paper.md.
    """

    image_size: int = 224  # pixels per side
    head: tuple[int, int, int] = (512, 256, 256)  # channels of the three convolutions
    hidden: int = 2048  # H, length of the prior vector
    decoder: tuple[int, ...] = (512, 128, 32, 8)  # channels; each layer doubles the grid from 2^3
    priors: int = 8  # K, most grids recalled per image (the paper sets no limit)
    dropout: float = 0.0  # on the image feature and the prior vector, before the decoder
    shape_encoder: str = "lstm"  # the paper's, or one of SHAPE_ENCODERS in its place
    prior_pool: int = 1  # side in voxels of the cubes that the shape encoder's priors are mean of
    refiner: int = 0  # channels of refiner.py, in place of the decoder's last layers; 0: none
    refiner_blocks: int = 2  # pairs of convolutions in it
    fuse: bool = False  # recalled grids go into the refiner, voxel by voxel
    stretch: bool = False  # once they are stretched to the extents that the image tells
    gate: bool = False  # and are weighed by how well they fit what the image alone says
    lift: bool = False  # so do image features, by way of a camera guessed from the picture
    pose: int = 0  # channels of pose.py, for those guesses; 0: they look at the image feature
    passes: int = 1  # from the second on, what is recalled is what looks most like the last answer
    pool: int = 64  # slots nearest by key among which that is looked for

    def __post_init__(self) -> None:
        check_flags(self)
        for name in ("image_size", "hidden", "priors", "head", "decoder"):
            value = getattr(self, name)
            sizes = value if isinstance(value, tuple) else (value,)
            if not all(type(size) is int and 1 <= size <= LARGEST for size in sizes):
                raise ValueError(f"{name}: got {value}, want whole numbers from 1 to {LARGEST}")
        if len(self.head) != 3 or not 1 <= len(self.decoder) <= 7:
            raise ValueError(
                f"head, decoder: got {self.head}, {self.decoder}, want 3, 1 to 7 layers"
            )
        if self.image_size < 32:
            raise ValueError(f"image_size: got {self.image_size}, want >= 32")
        if self.shape_encoder not in SHAPE_ENCODERS:
            got, want = self.shape_encoder, ", ".join(SHAPE_ENCODERS)
            raise ValueError(f"shape_encoder: got {got!r}, want one of {want}")
        if not (0 <= self.refiner <= LARGEST and 1 <= self.refiner_blocks <= 64):
            raise ValueError(
                f"refiner, refiner_blocks: got {self.refiner}, {self.refiner_blocks}, "
                "want >= 0, 1 to 64"
            )
        if self.prior_pool < 1 or self.resolution % self.prior_pool:
            raise ValueError(
                f"prior_pool: got {self.prior_pool}, want a divisor of the grid's side"
            )
        self._check_extras()
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: got {self.dropout}, want [0, 1)")
        if (self.feature_dim + self.hidden) % 8:
            raise ValueError(
                f"hidden: got {self.hidden}, want feature_dim + hidden divisible by 8 "
                f"(feature_dim is {self.feature_dim}), since the decoder starts from a 2^3 grid"
            )

    def _check_extras(self) -> None:
        """What goes beyond the paper: which option wants which other, and their ranges."""
        for name in ("gate", "stretch"):
            if getattr(self, name) and not self.fuse:
                raise ValueError(f"{name}: got True without fuse, want fuse too: it is for that")
        if self.shape_encoder == "box" and not self.stretch:
            raise ValueError("shape_encoder: got 'box' without stretch, want that for its extents")
        if not 0 <= self.pose <= LARGEST:
            raise ValueError(f"pose: got {self.pose}, want 0 to {LARGEST}")
        if self.pose and not (self.lift or self.stretch):
            raise ValueError(f"pose: got {self.pose}, want 0 without lift or stretch to guess for")
        if not (1 <= self.passes <= 16 and 1 <= self.pool <= LARGEST):
            raise ValueError(f"passes, pool: got {self.passes}, {self.pool}, want 1 to 16, >= 1")
        if (self.fuse or self.lift) and not self.refiner:
            raise ValueError("refiner: got 0 channels, want some for fuse and lift")
        if self.refiner and len(self.decoder) < 2:
            raise ValueError(f"decoder: got {self.decoder}, want 2 layers or more with a refiner")

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
    def resolution(self) -> int:
        """R, voxels per side: 2 doubled once per decoder layer."""
        return int(2 ** (len(self.decoder) + 1))


Precision = Literal["float32", "bfloat16"]
RateSchedule = Literal["halve", "cosine"]
PRECISIONS, SCHEDULES = get_args(Precision), get_args(RateSchedule)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run; the defaults are the paper's where it is known (docs/paper.md)."""

    epochs: int = 250  # one epoch shows one random view of every model
    batch: int = 32
    learning_rate: float = 1e-3  # Adam
    halve_at: tuple[float, ...] = (0.6,)  # shares of the run after which the rate is halved
    weight_decay: float = 0.0
    margin: float = 0.1  # alpha of the voxel triplet loss
    triplet_weight: float = 1.0
    recon_weight: float = 1.0
    dice_weight: float = 0.0  # of the soft Dice loss, beside the cross-entropy
    contrast_weight: float = 0.0  # of the contrastive loss between a shape's views
    contrast_temperature: float = 0.1  # its cosines are divided by it
    gate_weight: float = 0.05  # of the gate's cross-entropy, where the model has one
    viewpoint_weight: float = 0.03  # of the camera's guess, where the model lifts
    extent_weight: float = 0.5  # of the extents' guess, where the model stretches what it recalls
    exclude_self: bool = False  # never recall the training sample's own shape
    freeze_stem: bool = False  # keep the ResNet stem as loaded, BatchNorm statistics included
    augment: bool = True
    augmentation: Augmentation = DEFAULT  # what that does
    variants: int = 0  # with a frozen stem: augmented pictures per model whose stem maps are kept
    pose_epochs: int = 0  # before the others: only the guesses of camera and extents learn
    validate_every: int = 1  # epochs
    checkpoint_every: int = 1  # epochs; a run that dies goes on from the last one
    workers: int = 2  # loader processes
    seed: int = 0
    view_seed: int | None = None  # of the augmented pictures; None: `seed`
    precision: Precision = "float32"  # of the forward pass in training, where the device has it
    accumulate: int = 1  # batches whose gradients make one optimizer step
    patience: int = 0  # end after so many validations without a better IoU; 0 = never
    schedule: RateSchedule = "halve"  # of the learning rate: at `halve_at`, or half a cosine to 0
    warmup: int = 0  # optimizer steps over which the rate grows from nothing
    staleness_sample: int = 64  # slots whose keys each validation compares with fresh ones; 0: none

    def __post_init__(self) -> None:
        check_flags(self)
        for name in ("epochs", "batch", "validate_every", "checkpoint_every", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, want >= 1")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate: got {self.learning_rate}, want > 0")
        for name in ("triplet", "recon", "dice", "contrast", "gate", "viewpoint", "extent"):
            weight = getattr(self, f"{name}_weight")
            if not 0 <= weight < inf:
                raise ValueError(f"{name}_weight: got {weight}, want a finite number >= 0")
        if not 0 < self.contrast_temperature < inf:
            raise ValueError(f"contrast_temperature: got {self.contrast_temperature}, want > 0")
        for name in ("workers", "patience", "warmup", "staleness_sample", "pose_epochs"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, want >= 0")
        for name, choices in (("precision", PRECISIONS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in choices:
                got = getattr(self, name)
                raise ValueError(f"{name}: got {got!r}, want one of {', '.join(choices)}")
        if self.variants and not self.freeze_stem:
            raise ValueError(f"variants: got {self.variants}, want 0 while the stem learns")


def rebuilt_model(fields: dict[str, Any]) -> ModelConfig:
    """From a plain dict; ValueError if a field is unknown or of another type."""
    for name in ("blend", "shift"):  # of checkpoints from before those went
        if fields.get(name) == 0.0:
            del fields[name]
    try:
        for name in ("head", "decoder"):
            fields[name] = tuple(fields[name])
        return ModelConfig(**fields)
    except TypeError as error:
        raise ValueError(f"model: got {error}, want the fields of ModelConfig") from error


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Network, memory and run that belong together; saved in every checkpoint."""

    model: ModelConfig = field(default_factory=ModelConfig)
    memory: MemoryConfig
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.train.pose_epochs and not (self.model.pose and self.train.variants):
            raise ValueError(
                f"pose_epochs: got {self.train.pose_epochs}, want 0 without model.pose or without "
                "train.variants: what guesses has layers of its own, and looks at kept stem maps"
            )
        want = (self.model.feature_dim, self.model.resolution)
        got = (self.memory.key_dim, self.memory.resolution)
        if got != want:
            raise ValueError(f"memory (key_dim, resolution): got {got}, want the model's {want}")

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dict, JSON-able."""
        return asdict(self)

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> "Preset":
        """Rebuild from `to_dict`, also after a trip through JSON.

        Raises:
            ValueError: a field is unknown, missing or out of range.
        """
        try:
            model, train = rebuilt_model(dict(fields["model"])), dict(fields["train"])
            train["halve_at"] = tuple(train["halve_at"])
            if "augmentation" in train:  # else from before there was a choice: the default
                train["augmentation"] = Augmentation.from_dict(dict(train["augmentation"]))
            return Preset(
                model=model,
                memory=MemoryConfig(**fields["memory"]),
                train=TrainConfig(**train),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"preset: got {error}, want the fields of Preset") from error


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def changed(preset: Preset, settings: Iterable[str]) -> Preset:
    """A preset with single settings changed.

    Args:
        preset: to begin with.
        settings: "model.shape_encoder=mean", "train.halve_at=[0.5,0.75]": the path of a field and
            its value, as JSON (true, false) or, for words, as they are. A model's new sizes go into
            its memory's settings by themselves.

    Raises:
        ValueError: a path that leads to no field, or a value that does not fit.
    """
    fields, kinds = preset.to_dict(), _kinds(Preset)
    for setting in settings:
        path, equals, text = setting.partition("=")
        path = path.strip()
        if path not in kinds:
            raise ValueError(f"setting: got {path!r}, want {_near(path, kinds)}")
        if not equals:
            raise ValueError(f"{path}: got no value, want {path}=, then {_in_words(kinds[path])}")
        *parts, name = path.split(".")
        inside: Any = fields
        for part in parts:
            inside = inside[part]
        inside[name] = _value(path, text, kinds[path])
    model, memory = rebuilt_model(dict(fields["model"])), fields["memory"]
    for name, size in (("key_dim", model.feature_dim), ("resolution", model.resolution)):
        if memory[name] == getattr(preset.memory, name):  # another one is for Preset to refuse
            memory[name] = size
    return Preset.from_dict(fields)


def _kinds(config: type, before: str = "") -> dict[str, Any]:
    """{"model.image_size": int, "train.augmentation.flip": float, ...}"""
    kinds: dict[str, Any] = {}
    for name, kind in get_type_hints(config).items():
        if isinstance(kind, type) and is_dataclass(kind):
            kinds |= _kinds(kind, f"{before}{name}.")
        else:
            kinds[before + name] = kind
    return kinds


def _near(path: str, known: Iterable[str]) -> str:
    """What may have been meant instead of a path that is none."""
    listed = list(known)
    last = {name: name.rpartition(".")[2] for name in listed}
    ends = get_close_matches(path.rpartition(".")[2], dict.fromkeys(last.values()))
    near = [name for end in ends for name in listed if last[name] == end]
    group = [name for name in listed if name.startswith(f"{path}.")]
    near = list(dict.fromkeys([*group, *get_close_matches(path, listed, cutoff=0.75), *near]))[:3]
    if not near:
        return "the name of a setting, such as train.epochs or model.shape_encoder"
    return f"the name of a setting; near that: {', '.join(near)}"


def _value(path: str, text: str, kind: Any) -> Any:
    """What a text says, if that is of the kind."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if kind is str and not isinstance(value, str):
        value = text  # a word that looks like a number
    if not _fits(value, kind):
        raise ValueError(f"{path}: got {text!r}, want {_in_words(kind)}")
    return value


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value from JSON is of an annotated kind."""
    inside = get_args(kind)
    if get_origin(kind) is Literal:
        return value in inside
    if get_origin(kind) is UnionType:
        return any(_fits(value, one) for one in inside)
    if get_origin(kind) is tuple:
        is_free = inside[-1] is Ellipsis
        return (
            isinstance(value, list)
            and (is_free or len(value) == len(inside))
            and all(_fits(one, inside[0]) for one in value)
        )
    if kind is float:
        return type(value) in (int, float) and -math.inf < value < math.inf
    return type(value) is kind or (value is None and kind is NoneType)


def _in_words(kind: Any) -> str:
    """What is wanted of a value."""
    inside = get_args(kind)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(inside)
    if get_origin(kind) is UnionType:
        return " or ".join(_in_words(one) for one in inside)
    if get_origin(kind) is tuple:
        many = "" if inside[-1] is Ellipsis else f"{len(inside)} "
        example = "[1,2]" if len(inside) == 2 else "[1,2,3]"
        return f"a list of {many}{_WORDS[inside[0]].removeprefix('a ')}s, such as {example}"
    return "null" if kind is NoneType else _WORDS[kind]


def check_flags(config: Any) -> None:
    """Raise ValueError unless each flag of a dataclass is a bool: the text "False" would be true.

    Args:
        config: its flags are the fields whose default is a bool.
    """
    for one in fields(config):
        value = getattr(config, one.name)
        if isinstance(one.default, bool) and not isinstance(value, bool):
            raise ValueError(f"{one.name}: got {value!r}, want true or false")
