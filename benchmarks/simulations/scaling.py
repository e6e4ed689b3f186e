"""Bytes and seconds of ensembles of any size, in closed form, from costs that are measured at small sizes.

`Workload` is what is trained and combined, `Costs` is what operations cost on one machine, and `Cluster` is
what cannot be measured on one machine: its links, and its object storage. The functions follow what the
package does: which arrays it stores, what crosses the network, and what the process that was started does
alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GB = 1e9


@dataclass(frozen=True)
class Workload:
    """An ensemble of members that are cross-fitted on labeled images.

    Attributes
    ----------
    members, images, test_images, classes, folds : int
        `images` is the number of those that members are trained on.
    image_bytes, weight_bytes : float
        Decoded pixels of an image in the cache, and weights of a network.
    value_bytes : int
        4 for scores in float32, which stores have; 2 for files in float16.
    """

    members: int
    images: int
    test_images: int
    classes: int
    folds: int
    image_bytes: float
    weight_bytes: float
    value_bytes: int = 4

    @property
    def fits(self) -> int:
        """Number of fits: each member on the other rows of each fold, and on all rows."""
        return self.members * (self.folds + 1)

    @property
    def scores(self) -> float:
        """Bytes of the scores of one member for all images that it was not trained on."""
        return float(self.images) * self.classes * self.value_bytes

    @property
    def test_scores(self) -> float:
        """Bytes of the scores of one network for the test images."""
        return float(self.test_images) * self.classes * self.value_bytes


@dataclass(frozen=True)
class Costs:
    """What operations cost on one machine, as measured.

    Attributes
    ----------
    image, row : float
        Bytes that an image in the cache has beside its pixels, and stored predictions for a row beside its
        scores.
    folder, ensemble : float
        Bytes that a stored fit, and an ensemble, have beside their arrays.
    commit, commit_byte : float
        Seconds of a commit of a folder, and of each byte in it (written, hashed, flushed).
    read_byte : float
        Seconds to read and verify a byte of a stored file.
    start, member : float
        Seconds of a training of linear networks on the digits before its first fit, and for each member.
    combine, combine_value, combine_result : float
        Processor time of `combine` at least, for each score of each member, and for each score of the result.
    """

    image: float
    row: float
    folder: float
    ensemble: float
    commit: float
    commit_byte: float
    read_byte: float
    start: float
    member: float
    combine: float
    combine_value: float
    combine_result: float


@dataclass(frozen=True)
class Cluster:
    """Nodes that are alike, and the process that was started on one of them.

    Attributes
    ----------
    slots : int
        Fits at once on a node, such as its number of GPUs.
    link : float
        Bytes a second of the link of each node.
    request : float
        Seconds of a request to object storage.
    upload : float
        Bytes a second of uploads to object storage.
    task : float
        Seconds that a fit takes longer as a task of another process.
    """

    slots: int
    link: float
    request: float
    upload: float
    task: float


def stored(work: Workload, costs: Costs) -> dict[str, float]:
    """Return the bytes of each folder of a store after `train` and `build-ensemble`."""
    fit_scores = work.scores + (work.folds + 1) * work.test_scores
    rows = work.images + 2 * work.test_images
    return {
        "cache": (work.image_bytes + costs.image) * (work.images + work.test_images),
        "checkpoints": work.fits * (work.weight_bytes + costs.folder) + work.members * fit_scores,
        "kfold": work.members * (work.scores + 2 * work.test_scores + rows * costs.row),
        "ensembles": work.members * (work.scores + work.images) + work.images * costs.row + costs.ensemble,
    }


def returned(work: Workload, costs: Costs) -> float:
    """Return the bytes that fits send back to the process that was started."""
    return stored(work, costs)["checkpoints"]


def driver_seconds(work: Workload, costs: Costs) -> float:
    """Return the seconds in which one process commits all fits, and joins the predictions of each member."""
    found = stored(work, costs)
    commits = work.fits * costs.commit + found["checkpoints"] * costs.commit_byte
    joined = 3 * work.members * costs.commit + found["kfold"] * (costs.commit_byte + costs.read_byte)
    return commits + joined


def training(
    work: Workload, costs: Costs, cluster: Cluster, nodes: int, fit_seconds: float
) -> dict[str, float]:
    """Return the seconds of what happens at the same time on a number of nodes, after the images are there.

    The run takes `copies` and then the largest of the others: results cross the link, and are committed,
    while other fits are made.
    """
    cache = stored(work, costs)["cache"]
    rounds = math.ceil(work.fits / (nodes * cluster.slots))
    return {
        "copies": cache * (nodes - 1) / cluster.link,
        "fits": rounds * (fit_seconds + cluster.task),
        "link": returned(work, costs) * (nodes - 1) / nodes / cluster.link,
        "writer": driver_seconds(work, costs),
    }


def total(parts: dict[str, float]) -> float:
    """Return the seconds of a run from `training`."""
    return parts["copies"] + max(seconds for name, seconds in parts.items() if name != "copies")


def limit(parts: dict[str, float]) -> str:
    """Return the part from `training` that takes longest."""
    return max((name for name in parts if name != "copies"), key=lambda name: parts[name])


def prediction(work: Workload, cluster: Cluster, nodes: int, images: int, rate: float) -> float:
    """Return the seconds in which all members predict new images; `rate` is that of a network on a slot."""
    return work.members * images / (rate * cluster.slots * nodes)


def combination(work: Workload, costs: Costs) -> float:
    """Return the processor time of one method of `combine` from files, with its scores, intervals and gains.

    Temperatures of a member are fitted on at most 2 million of its scores, so that it is too high for more.
    """
    result = float(work.images) * work.classes
    return costs.combine + result * (work.members * costs.combine_value + costs.combine_result)


@dataclass(frozen=True)
class Uploads:
    """What commits of a store on object storage send, beside the files of their folders.

    Attributes
    ----------
    entry, index : float
        Bytes of an entry of the index, and of an empty index.
    encode : float
        Seconds to encode and keep a byte of the index.
    commit : float
        Seconds of a commit without its requests.
    """

    entry: float
    index: float
    encode: float
    commit: float

    def sent(self, folders: int, content: float) -> float:
        """Return the bytes of folders of `content` bytes: each commit sends the index of all before."""
        return folders * (content + self.index) + self.entry * folders * (folders + 1) / 2

    def seconds(self, folders: int, content: float, cluster: Cluster) -> float:
        """Return the seconds of commits one after the other: files are sent at once, and then the index."""
        sent = self.sent(folders, content)
        fixed = folders * (self.commit + 2 * cluster.request)
        return fixed + sent / cluster.upload + (sent - folders * content) * self.encode
