"""Driver: what stands over the shards of one memory: clock, ages, the last commit, failures."""

import time
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memstore.errors import FormatError, LockedError, MemstoreError, ShardError, TornError
from memstore.files import Durability
from memstore.sharded.deal import Deal, Place
from memstore.sharded.manifest import Manifest, Manifests, shard_config, shard_folder
from memstore.sharded.merging import Proposals
from memstore.sharded.messages import Opening
from memstore.sharded.workers import Request, Workers, each, some
from memstore.slots.policy import Plan, plan_pairs
from memstore.slots.state import EMPTY, Pairs


class Driver:
    """The one who asks the shards, and knows what they hold together.

    Attributes:
        deal: of slots to shards.
        config: of the whole memory.
        snapshot: commit that the state is based on.
        touched: (capacity,) clock value of each slot's last write; EMPTY.
        used: how many slots are.
        clock: pairs written since creation.
        counts: of writes and removals since creation.
        is_dirty: something has changed since the commit.
    """

    def __init__(
        self,
        manifests: Manifests,
        snapshot: str,
        workers: Workers,
        mode: str,
        durability: Durability,
    ) -> None:
        """Have all shards open what a commit names."""
        self.manifests, self._workers = manifests, workers
        self._mode, self._durability = mode, durability
        self._recovery = Lock()
        self._broken = ""  # what has happened, if no call but `rollback` makes sense
        self._arriving: Manifest | None = None  # the last commit that was begun
        self._tip = manifests.last()
        self.snapshot, self._manifest = snapshot, manifests.read(snapshot)
        self.config = self._manifest.config
        self.deal = Deal(len(self._manifest.snapshots), self.config.capacity)
        self._load()

    def _load(self) -> None:
        """Hold what the commit names, in all shards."""
        self.touched = np.full(self.config.capacity, EMPTY, np.int64)
        for shard, touched in enumerate(self._open(range(self.deal.shards))):
            self.touched[shard :: self.deal.shards] = touched
        self.clock, self.counts = self._manifest.clock, dict(self._manifest.counts)
        if self.touched.max() > self.clock:
            raise FormatError(f"{self.manifests.path}: got slots that were written after its clock")
        self.used = int(np.count_nonzero(self.touched != EMPTY))
        self.is_dirty = False

    def _open(self, shards: Sequence[int]) -> list[NDArray[np.int64]]:
        """Have shards open what the commit names; `touched` of their rows."""
        openings = {
            shard: (
                Opening(
                    str(shard_folder(self.manifests.path, shard).absolute()),
                    self._mode,
                    self._manifest.snapshots[shard],
                    self._durability,
                    Place(shard, self.deal.shards),
                    shard_config(self.config, self.deal, shard),
                ),
            )
            for shard in shards
        }
        return self._workers.ask(some("open", openings))

    def close(self) -> None:
        """End the workers, whatever state they are in."""
        try:
            self._workers.ask(each(self.deal.shards, "close"))
        except ShardError:
            pass  # a lost one has let go of its folder
        finally:
            self._workers.close()

    def ask(self, requests: Sequence[Request]) -> list[Any]:
        """Ask shards something that changes nothing, but counts of reads.

        Raises:
            ShardError: a shard failed. One that was lost has been started again from its last
                commit, so that the next call is answered, unless changes are lost with it.
            TornError: changes were lost before, and nobody has rolled back.
        """
        self.check_whole()
        try:
            return self._workers.ask(requests)
        except ShardError as error:
            self._recover(error)
            raise

    def ask_all(self, method: str, *args: Any) -> list[Any]:
        """Ask all shards the same, as `ask`; answers in their order."""
        return self.ask(each(self.deal.shards, method, *args))

    def check_whole(self) -> None:
        """Raise TornError if changes were lost, and nobody has rolled back."""
        if self._broken:
            raise TornError(self._broken)

    def _recover(self, error: ShardError) -> None:
        """Start lost shards again, or have the loss of changes be told by all that follows."""
        if not error.lost:
            return
        if self.is_dirty:
            self._lose(error)
            return
        with self._recovery:  # of two threads that were told, both may
            self._workers.revive(error.lost)
            try:
                self._open(error.lost)
            except ShardError as again:
                self._lose(error)
                raise again from error
        shards = ", ".join(map(str, error.lost))
        text = f"{error}; shard {shards} is open again at the last commit, and nothing is lost: "
        self._tell(error, f"{text}ask once more")

    def _lose(self, error: ShardError) -> None:
        """Take note that the shards no longer hold one state."""
        what = "a shard failed in the middle of a change"
        if error.lost:
            what = f"shard {', '.join(map(str, error.lost))} was lost"
        self._broken = (
            f"memory: {what}; what was not committed since {self.snapshot} is gone: "
            "rollback() goes back there"
        )
        self._tell(error, f"{error}; {self._broken.removeprefix('memory: ')}")

    @staticmethod
    def _tell(error: ShardError, text: str) -> None:
        """Have an error say more."""
        error.args = (text,)

    def change(self, requests: Sequence[Request]) -> None:
        """Have shards change; unless all have, and the caller has noted it, the memory is torn.

        The caller calls `settled` then.
        """
        self.check_whole()
        self.is_dirty = True
        self._broken = (
            f"memory: a change was interrupted in its midst; what was not committed since "
            f"{self.snapshot} is gone: rollback() goes back there"
        )
        try:
            self._workers.ask(requests)
        except ShardError as error:
            self._lose(error)
            raise

    def settled(self) -> None:
        """Take note that a change is complete."""
        self._broken = ""

    def rollback(self) -> None:
        """Go back to the commit: lost shards are started again, changes dropped."""
        try:
            self._workers.ask(each(self.deal.shards, "close"))
        except ShardError as error:
            self._workers.revive(error.lost)
        self._broken = "memory: a rollback failed; call it again, or open the memory again"
        self._load()
        self._broken = ""

    def refresh(self) -> bool:
        """Have all shards open the last commit; whether it is another one."""
        self.manifests.check_has(self.snapshot)
        last = self.manifests.last()
        if last == self.snapshot and not self._broken:
            return False
        manifest = self.manifests.read(last)
        if (manifest.config, len(manifest.snapshots)) != (self.config, self.deal.shards):
            path = self.manifests.path
            raise FormatError(f"{path}: got another memory than was opened; open it again")
        self._broken = "memory: a refresh failed; call it again, or open the memory again"
        self.snapshot, self._tip, self._manifest = last, last, manifest
        try:
            self._load()
        except ShardError as error:
            self._workers.revive(error.lost)
            raise
        self._broken = ""
        return True

    def plan(
        self, queries: NDArray[np.float32], grids: NDArray[np.uint8], is_begun: bool
    ) -> tuple[Plan, dict[str, int]]:
        """What pairs (B,) do, and the counts after them; changes nothing.

        Args:
            queries: (B, C) unit vectors.
            grids: (B, R, R, ceil(R / 8)) packed.
            is_begun: pairs of the same call are written already: if a shard fails now, they must
                not stay, and the memory is torn.
        """
        try:
            evicts = self.used + len(queries) > self.config.capacity
            parts = self.ask_all("propose", queries, grids, evicts)
            proposals = Proposals(queries, parts, self.deal, self.config, self.ask)
            plan = plan_pairs(queries, grids, proposals, self.config)
        except ShardError as error:
            if is_begun and not self._broken:
                self._lose(error)
            raise
        counts = dict(self.counts)
        for kind, count in zip(*np.unique(plan.kinds, return_counts=True), strict=True):
            counts[str(kind)] += int(count)
        return plan, counts

    def apply(
        self,
        plan: Plan,
        counts: dict[str, int],
        grids: NDArray[np.uint8],
        sources: NDArray[np.bytes_],
        columns: Mapping[str, NDArray[Any]],
    ) -> None:
        """Write planned pairs (B,)."""
        clock = self.clock + len(plan.slots)
        ticks = np.arange(self.clock + 1, clock + 1)
        parts = {}
        for shard, where in self.deal.split(plan.slots):
            some_columns = {name: column[where] for name, column in columns.items()}
            part = plan.of(where)
            stored = (grids[where], sources[where], some_columns)
            parts[shard] = (Pairs(part, ticks[where], *stored, clock, counts),)
        self.change(some("apply", parts))
        np.maximum.at(self.touched, plan.slots, ticks)
        self.used += counts["insert"] - self.counts["insert"]
        self.clock, self.counts = clock, counts
        self.settled()

    def remove(self, slots: NDArray[np.int64]) -> None:
        """Empty distinct used slots (n,)."""
        counts = self.counts | {"remove": self.counts["remove"] + len(slots)}
        split = self.deal.split(slots)
        self.change(some("remove", {shard: (slots[where], counts) for shard, where in split}))
        self.touched[slots] = EMPTY
        self.used -= len(slots)
        self.counts = counts
        self.settled()

    def commit(self, message: str) -> str:
        """Save what has changed: every shard's snapshot, then the manifest; its id."""
        self.check_whole()
        self._settle()
        self.manifests.check_has(self.snapshot)
        last = self.manifests.last()
        if last != self._tip:
            raise LockedError(
                f"{self.manifests.path}: somebody committed without the lock; open it again"
            )
        if not self.is_dirty:
            if self.snapshot != self._tip:  # opened at an earlier one, which is to be the last
                self.manifests.point(self.snapshot)
                self._tip = self.snapshot
            return self.snapshot
        snapshots = self.ask_all("commit", message)
        manifest = Manifest(
            parent=self.snapshot,
            message=message,
            time=int(time.time() * 1e6),
            config=self.config,
            clock=self.clock,
            counts=self.counts,
            snapshots=tuple(snapshots),
        )
        self._arriving = manifest
        self.manifests.write(manifest)
        self._settle()
        return self.snapshot

    def other_snapshots(self, problems: list[str]) -> list[list[str]]:
        """Per shard, what commits but the present one name, each once.

        Args:
            problems: takes those of commits that cannot be read.
        """
        others: list[dict[str, None]] = [{} for _ in range(self.deal.shards)]
        for commit in self.manifests.commits():
            try:
                snapshots = self.manifests.read(commit).snapshots
            except MemstoreError as error:
                problems.append(f"commit {commit}: {error}")
                continue
            for shard, snapshot in enumerate(snapshots[: self.deal.shards]):
                if snapshot != self._manifest.snapshots[shard]:
                    others[shard][snapshot] = None
        return [list(ids) for ids in others]

    def _settle(self) -> None:
        """Follow a commit of ours that has arrived, though an interrupt kept us from noting it."""
        manifest = self._arriving
        if manifest is not None and self.manifests.last() == manifest.id:
            self.snapshot = self._tip = manifest.id
            self._manifest, self._arriving, self.is_dirty = manifest, None, False
