"""One fit of a network: repeated after a divergence, and shared by several GPUs."""

from __future__ import annotations

import contextlib
import gc
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from committee.errors import TrainingError
from committee.images.dataset import Dataset
from committee.recipe.members import MemberSpec
from committee.training.fit.batches import Rows
from committee.training.fit.job import Extra, Job, Trained
from committee.training.fit.loop import Loop, Steps, complete
from committee.training.fit.memory import no_memory, ran_out_of_memory
from committee.training.fit.rollback import Diverged, describe_rollback
from committee.training.fit.sharing import share
from committee.training.fit.start import starting_weights

if TYPE_CHECKING:
    from committee.training.fit.engine import Fabric

log = logging.getLogger(__name__)


def train(
    spec: MemberSpec,
    dataset: Dataset,
    rows: Rows,
    *,
    fold: str,
    device: torch.device,
    folder: Path | None = None,
    fingerprint: str = "",
    epochs: int | None = None,
    extra: Extra | None = None,
) -> Trained:
    """Fit one network.

    Of a pretrained network, only the head is trained during the first `head_epochs`, in evaluation mode, so
    that the random head does not distort the published weights. Then the whole network is trained, with a new
    optimizer.

    Parameters
    ----------
    spec : MemberSpec
        Backbone and settings.
    dataset : Dataset
    rows : int64 `[N]`
        Training rows of the data set. Early stopping and the best checkpoint set some of them aside.
    fold : str
        `fold_0`, ..., or `refit`: which fit of the member this is. Its random seeds are derived from it.
    device : torch.device
        `cuda` without a number means all visible GPUs.
    folder : Path, optional
        Where the state is stored after each epoch, and looked for at the start. A temporary folder by
        default.
    fingerprint : str
        Digest of everything that decides the result. A stored state with another digest is not used.
    epochs : int, optional
        A fixed number of epochs on all rows, regardless of `early_stop`: the median of the folds, in a refit.
    extra : Extra, optional
        Additions of a plan to the fit.

    Returns
    -------
    Trained
        The member is on the CPU and in evaluation mode; `member.provenance["epochs"]` is the epoch that its
        weights are from.

    Raises
    ------
    TrainingError
        The loss is not finite at any of the learning rates tried, memory does not suffice for a single image,
        or the network does not accept images of this size.
    KeyboardInterrupt
        A signal asked the process to end. The state has been stored.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary) / "state"
        size, extra = spec.batch_size, extra or Extra()
        return train_job(Job(spec, dataset, rows, fold, device, place, fingerprint, epochs, size, extra))


def train_job(job: Job) -> Trained:
    """Fit the network of a job; see `train`."""
    try:
        with preserved_generators(job.device):
            return share(job, fit)
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error) or isinstance(error, TrainingError):
            raise
        raise no_memory(job.name, "the network and its optimizer", error) from error
    finally:
        # On a CPU, a collection takes 0.1 s and finds nothing, since fits have no cycles of references.
        if job.device.type != "cpu":
            free_memory(job.device)


def fit(fabric: Fabric, job: Job) -> Trained:
    """Carry out `job` on the devices of `fabric`."""
    return complete(attempts(fabric, job))


def attempts(fabric: Fabric, job: Job, generators: Mapping[str, torch.Generator] | None = None) -> Steps:
    """Yield the steps of a fit, which is rolled back after each divergence; see `Loop`."""
    precision = dict(fabric.strategy.precision.state_dict())
    rollbacks = 0
    while True:
        try:
            return (yield from Loop(job, fabric, generators).steps(rollbacks))
        except Diverged as error:
            rate = job.spec.training.rate(bool(starting_weights(job.spec)))
            message = describe_rollback(error, job.name, rate)
            if fabric.global_rank == 0:
                log.warning(message)
            rollbacks = error.rollbacks + 1
        gc.collect()
        fabric.strategy.precision.load_state_dict(precision)


def free_memory(device: torch.device) -> None:
    """Return the memory of objects that are no longer used."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextlib.contextmanager
def preserved_generators(device: torch.device) -> Iterator[None]:
    """Restore the state of torch's global generators after the block."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
