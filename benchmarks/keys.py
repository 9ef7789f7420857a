"""Keys and values for the benchmarks, from easy to hopeless; seeds are fixed.

C = 4,096. Keys of one kind share what makes them a kind: with another seed they are other keys from
the same distribution, as queries are.
"""

import numpy as np
from numpy.typing import NDArray

DIM = 4_096
LATENT = 64  # numbers that a CNN-like key depends on


def clusters(count: int, seed: int, centers: int = 200, noise: float = 0.5) -> NDArray[np.float32]:
    """Random centers of norm 1, plus noise of that norm in a random direction."""
    middle = _directions(centers, 0)
    which = np.random.default_rng([seed, 1]).integers(centers, size=count)
    return middle[which] + np.float32(noise) * _directions(count, seed)


def views(count: int, seed: int) -> NDArray[np.float32]:
    """CNN-like: ReLU of a random layer over 64 numbers; 300 objects, each seen again and again."""
    rng = np.random.default_rng([seed, 2])
    objects = np.random.default_rng(0).standard_normal((300, LATENT), np.float32)
    latent = objects[rng.integers(300, size=count)]
    return _layer(latent + 0.3 * rng.standard_normal((count, LATENT), np.float32), rng)


def blur(count: int, seed: int) -> NDArray[np.float32]:
    """CNN-like as `views`, but every key is of another object: no clusters, all cosines high."""
    rng = np.random.default_rng([seed, 3])
    return _layer(rng.standard_normal((count, LATENT), np.float32), rng)


def twins(count: int, seed: int) -> NDArray[np.float32]:
    """100 keys, each in many copies that differ by one part in a million or not at all."""
    copies = _directions(100, 0)[np.random.default_rng([seed, 4]).integers(100, size=count)]
    return copies + np.float32(1e-6) * _directions(count, seed // 2)


def noise(count: int, seed: int) -> NDArray[np.float32]:
    """Random directions: all cosines are alike."""
    return _directions(count, seed)


def power_law(count: int, seed: int, centers: int = 1_000) -> NDArray[np.float32]:
    """Clusters, the n-th of which has 1/n of the first one's keys."""
    shares = 1 / np.arange(1, centers + 1)
    rng = np.random.default_rng([seed, 7])
    which = rng.choice(centers, count, p=shares / shares.sum())
    return _directions(centers, 0)[which] + np.float32(0.5) * _directions(count, seed)


def recalled(count: int, seed: int) -> NDArray[np.float32]:
    """(count, 128) keys of the bundled model's memory, other ones for another seed."""
    import mem3d

    memory = mem3d.load().memory
    keys: NDArray[np.float32] = memory.keys(memory.slots)
    start = seed * count % len(keys)
    return np.take(keys, np.arange(start, start + count), axis=0, mode="wrap")


def grids(count: int, seed: int) -> NDArray[np.bool_]:
    """(count, 32, 32, 32) voxel grids, a tenth full."""
    return np.random.default_rng([seed, 5]).random((count, 32, 32, 32), np.float32) < 0.1


def _directions(count: int, seed: int) -> NDArray[np.float32]:
    """(count, C) random unit vectors."""
    drawn = np.random.default_rng([seed, 6]).standard_normal((count, DIM), np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _layer(latent: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(n, C) non-negative features of (n, LATENT), with a little noise."""
    fixed = np.random.default_rng(0)
    weights = fixed.standard_normal((LATENT, DIM), np.float32) / np.float32(LATENT**0.5)
    bias = 0.5 * fixed.standard_normal(DIM, np.float32)
    features = latent @ weights + bias + 0.1 * rng.standard_normal((len(latent), DIM), np.float32)
    rectified: NDArray[np.float32] = features.clip(0).astype(np.float32)
    return rectified
