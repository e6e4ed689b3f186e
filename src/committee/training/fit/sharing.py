"""One fit on several GPUs: each batch is divided among processes, one per GPU."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch
from torch.multiprocessing.spawn import ProcessException

from committee.base import deadline
from committee.errors import TrainingError, UnfinishedError
from committee.training.fit.engine import make_fabric, processes, shared_fabric
from committee.training.fit.job import Job
from committee.training.fit.memory import halving

if TYPE_CHECKING:
    import lightning_fabric

    from committee.training.fit.engine import Fabric

Result = TypeVar("Result")


def share(job: Job, fit: Callable[[Fabric, Job], Result]) -> Result:
    """Carry out `job`, in several processes if there are several GPUs.

    The first of those processes stores the state of the fit. This process then continues from the state,
    in which no epoch is left to train, and so obtains the result.

    Parameters
    ----------
    job : Job
    fit : callable
        From a Fabric and a job to the result of the fit.

    Raises
    ------
    TrainingError
        A process failed; the message quotes the last line of its error.
    """
    precision = job.spec.training.precision
    # Each process needs rows of every batch, including the smallest one that `epoch_batches` makes.
    count = min(processes(job.device), max(1, min(job.spec.batch_size, len(job.rows)) // 2))
    if count > 1:
        fabric = shared_fabric(job.device, precision, count)
        share_of_each = -(-job.micro_batch // count)

        def launch(size: int) -> None:
            _launch(fabric, job if size == share_of_each else replace(job, micro_batch=size), fit)

        # If one process ran out of memory, the others would wait for it: all of them start again with less.
        halving(launch, share_of_each, job.name)
    return fit(make_fabric(job.device, precision), job)


def _launch(fabric: lightning_fabric.Fabric, job: Job, fit: Callable[[Fabric, Job], object]) -> None:
    others = set(multiprocessing.active_children())
    try:
        # Bound by `partial`, since Fabric inspects arguments and refuses frozen dataclasses.
        fabric.launch(partial(_work, job=job, fit=fit, until=deadline.current()))
    except ProcessException as error:
        message = str(error).strip()
        last = message.splitlines()[-1]
        if UnfinishedError.__name__ in last:
            raise UnfinishedError(last.partition(": ")[2]) from None
        if "OutOfMemoryError: " in message or "allocate memory" in message:
            raise torch.OutOfMemoryError(last) from None
        raise TrainingError(
            job.name,
            expected="all processes to finish",
            got=last,
            todo="Finished epochs are stored: run it again, or use one GPU with CUDA_VISIBLE_DEVICES=0.",
        ) from error
    finally:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()  # After an interrupt. The state that they stored is complete.


def _work(
    fabric: lightning_fabric.Fabric, job: Job, fit: Callable[[Fabric, Job], object], until: deadline.Deadline
) -> None:
    with deadline.in_effect(until):
        fit(fabric, job)
    # The first process holds the key-value store through which the processes connect. If it leaves while
    # another still communicates, or if one ends with open connections, that process aborts. After an error
    # this code is not reached, and the launcher ends the other processes.
    fabric.barrier()
    gc.collect()
    torch.distributed.destroy_process_group()
