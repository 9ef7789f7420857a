"""Grasps that a robot has tried, recalled by the looks of what lies before it.

day 0: WriteReport(6 pairs: 6 inserted)
day 1: WriteReport(6 pairs: 6 inserted)
day 2: WriteReport(6 pairs: 6 inserted)
a mug: (2, 'mug-8-parallel', 40.0)
by suction: (9, 'box-8-suction', 40.0)
boxes by suction: [ 7  9 11]
a later commit: True ok: False
now: (8, 'box-8-parallel', 40.0)
larger: WriteReport(7 pairs: 7 inserted) 25 of 100
remarks: near-duplicates
in the laboratory it worked: True
"""

import numpy as np

from memstore import FullError, Memory, MemoryConfig, export, near_duplicates, remarks

R, C = 16, 64  # voxels per side of a shape, numbers of a feature
rng = np.random.default_rng(0)
LENS = rng.standard_normal((R**3, C))  # stands for the network that encodes a picture
CONFIG = MemoryConfig(
    capacity=24,
    key_dim=C,
    resolution=R,
    beta=0.3,  # what looks less alike than this recalls nothing
    columns={"category": str, "gripper": str, "width_mm": float, "tries": int, "ok": bool},
)


def shape(category, size):
    """(R, R, R) bool: a mug is a hollow cylinder, a box is one, a pen is long and thin."""
    x, y, z = np.mgrid[:R, :R, :R] - (R - 1) / 2
    if category == "mug":
        wall = np.abs(np.hypot(x, z) - size / 2) < 1
        return wall & (np.abs(y) < size / 2 + 1)
    if category == "box":
        return (np.abs(x) < size / 2) & (np.abs(y) < size / 3) & (np.abs(z) < size / 2)
    return (np.hypot(x, y) < 1.5) & (np.abs(z) < size / 2 + 1)


def look(grid, noise=0.3):
    """(C,) feature of a picture of a shape: never quite the same twice."""
    feature = (grid.ravel() - grid.mean()) @ LENS
    return feature + noise * np.linalg.norm(feature) / np.sqrt(C) * rng.standard_normal(C)


def tried(category, size, gripper, ok):
    """A grasp as the robot's log has it."""
    name = f"{category}-{size}-{gripper}"
    columns = {"category": category, "gripper": gripper, "width_mm": 5.0 * size, "tries": 1}
    return name, shape(category, size), {**columns, "ok": ok}


def remember(memory, grasps):
    """Write grasps as one batch, each with what was found out about it."""
    names, grids, rows = zip(*grasps, strict=True)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return memory.write([look(grid) for grid in grids], np.stack(grids), names, columns)


def advise(memory, feature, gripper, widest_mm):
    """Of grasps that worked with this gripper and opening: the most alike, or None."""
    where = {"ok": True, "gripper": gripper, "width_mm": {"<=": widest_mm}}
    priors = memory.read(feature[None], k=3, where=where)
    if not priors.counts[0]:
        return None
    return int(priors.slots[0, 0]), priors.sources[0, 0], float(priors.columns["width_mm"][0, 0])


# Three days in the laboratory: what was not committed when a block ends is committed then.
with Memory.create("grasps.memory", CONFIG) as memory:
    for day, category in enumerate(("mug", "box", "pen")):
        log = [
            tried(category, size, gripper, ok=gripper == "parallel" or category == "box")
            for size in (6, 8, 10)
            for gripper in ("parallel", "suction")
        ]
        print(f"day {day}:", remember(memory, log))
        memory.commit(f"day {day}: {category}")
    memory.tag("laboratory")

# The robot at work: a reader, which another process may update behind its back.
robot = Memory.open("grasps.memory")
mug = look(shape("mug", 8))
print("a mug:", advise(robot, mug, "parallel", widest_mm=45))
print("by suction:", advise(robot, mug, "suction", widest_mm=45))  # worked on boxes alone
print("boxes by suction:", robot.find(where={"category": "box", "gripper": "suction"}))

# It slips. What is known of that slot is corrected, and another grasp is advised from then on.
with Memory.open("grasps.memory", "r+") as memory:
    [slot] = memory.find("mug-8-parallel")
    tries = memory[slot].columns["tries"] + 1
    memory.update([slot], columns={"ok": [False], "tries": [tries]})
print("a later commit:", robot.refresh(), "ok:", robot[slot].columns["ok"])
print("now:", advise(robot, mug, "parallel", widest_mm=45))

# More shapes than there is room for are refused as a whole: nothing is evicted unless told to.
more = [tried("box", size, "parallel", ok=True) for size in (5, 7, 9, 11, 12, 13, 14)]
try:
    with Memory.open("grasps.memory", "r+") as memory:
        remember(memory, more)
except FullError:
    robot.copy_to("larger.memory", capacity=100)
    with Memory.open("larger.memory", "r+") as memory:
        print("larger:", remember(memory, more), len(memory), "of", memory.config.capacity)

# What a colleague wants, and whether the memory is as it should be.
export(robot, "working.npz", slots=robot.find(where={"ok": True}))
print("remarks:", *(text.split(":")[0] for text in remarks(robot, near_duplicates(robot))))
with Memory.open("grasps.memory", at="laboratory") as before:
    print("in the laboratory it worked:", before[slot].columns["ok"])
robot.close()
