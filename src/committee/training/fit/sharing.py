"""One fit on several GPUs: each batch is divided among processes, one a GPU."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessException

from committee.errors import TrainingError
from committee.training.fit.engine import make_fabric, processes
from committee.training.fit.job import Job
from committee.training.fit.memory import halving

Result = TypeVar("Result")


def share(job: Job, fit: Callable[[Fabric, Job], Result]) -> Result:
    """Carry out `job`, with the help of other processes where there are several GPUs.

    What they come to is read from the state that the first of them keeps: this process then finds a fit with
    no epoch left to do.

    Raises
    ------
    TrainingError
        A process failed; the sentence has its last line.
    """
    precision = job.spec.training.precision
    # Each process needs rows of every batch, also of the smallest that `epoch_batches` makes.
    count = min(processes(job.device), max(1, min(job.spec.batch_size, len(job.rows)) // 2))
    if count > 1:
        fabric = make_fabric(job.device, precision, count)
        share_of_each = -(-job.micro_batch // count)

        def launch(size: int) -> None:
            _launch(fabric, job if size == share_of_each else replace(job, micro_batch=size), fit)

        # A process that lacks memory would leave the others waiting: all of them start again with less.
        halving(launch, share_of_each, job.name)
    return fit(make_fabric(job.device, precision), job)


def _launch(fabric: Fabric, job: Job, fit: Callable[[Fabric, Job], object]) -> None:
    others = set(multiprocessing.active_children())
    try:
        # Bound rather than passed: Fabric looks into what is passed, and refuses frozen dataclasses.
        fabric.launch(partial(_work, job=job, fit=fit))
    except ProcessException as error:
        said = str(error).strip()
        last = said.splitlines()[-1]
        if "OutOfMemoryError: " in said or "allocate memory" in said:
            raise torch.OutOfMemoryError(last) from None
        raise TrainingError(
            job.name,
            expected="all processes to finish",
            got=last,
            todo="What was trained is kept: run it again, or on one GPU with CUDA_VISIBLE_DEVICES=0.",
        ) from error
    finally:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()  # after an interrupt; what they kept is whole


def _work(fabric: Fabric, job: Job, fit: Callable[[Fabric, Job], object]) -> None:
    fit(fabric, job)
    # The first process keeps the store through which they find each other: where it leaves while another
    # still talks, or where one ends with its connections open, that one aborts. After an error there is
    # nobody to wait for: the launcher ends the others.
    fabric.barrier()
    gc.collect()
    torch.distributed.destroy_process_group()
