"""Members of an ensemble from a function that returns a network, and from data in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from committee.base.devices import resolve
from committee.base.limits import count
from committee.errors import UsageError
from committee.in_memory.arrays import Arrays
from committee.in_memory.networks import Networks
from committee.in_memory.reading import read
from committee.in_memory.runs import Runs
from committee.in_memory.settings import training_settings
from committee.recipe.members import MemberSpec
from committee.recipe.training import Training

log = logging.getLogger(__name__)

BATCH = 32


class Members(list[nn.Module]):
    """Trained members, as a list, and how they were trained.

    Parameters
    ----------
    members : sequence of nn.Module
        Each maps inputs to logits or numbers, and has `name`, `class_names`, `predict` and `save`.
    seen : bool array `[M, N]`
        Whether each member was trained on each row of the training data.
    history : sequence of list of dict
        Of each member, a row of its fit for each epoch: `train_loss`, `lr`, `seconds`, ...

    See Also
    --------
    committee.fit_members : Trains them.
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        seen: NDArray[np.bool_],
        history: Sequence[list[Mapping[str, Any]]],
    ) -> None:
        super().__init__(members)
        self.seen, self.history = seen, list(history)


def fit_members(
    build: Callable[..., nn.Module],
    train: Any,
    n: int = 5,
    plan: str | Mapping[str, Any] = "single",
    *,
    val: Any = None,
    weights: Any = None,
    epochs: int = 20,
    lr: float | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    together: Literal["auto", "stacked", "none"] = "auto",
    workers: int | Literal["auto"] = "auto",
    task: Literal["classification", "regression"] | None = None,
    class_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    name: str = "member",
    **settings: Any,
) -> Members:
    """Train the members of an ensemble on tensors or arrays, without a store or a recipe.

    Parameters
    ----------
    build : callable
        Returns a new network each time it is called, such as a class or a lambda. torch's generator is seeded
        differently for each member. If it has two required arguments, these are the shape of one input (of
        vectors, the number of features) and the number of outputs, as of `torch.nn.Linear`. The network gets
        float32 inputs `[B, ...]` and returns logits `[B, C]`, or numbers `[B, T]` in units of the standard
        deviation of their target, from its mean.
    train : pair (X, y), or iterable of such pairs
        X are inputs `[N, ...]` of a floating type, which the network gets as they are, or square images uint8
        `[N, c, S, S]`, which it gets divided by 255. y are classes (names or whole numbers) `[N]`, or numbers
        (of a floating type) `[N]` or `[N, T]`. A `DataLoader` or a `Dataset` is read once, so that its random
        transformations are drawn once; its batch size is used, and rows are shuffled in each epoch.
    n : int
        Number of members; of plan `boosting`, the largest number of stages of the one member.
    plan : str or mapping
        `single`: independent seeds (a deep ensemble). `bagging`: bootstrap samples. `snapshot`: one run with
        a cyclic learning rate, of which each cycle ends with a member; `epochs` is a multiple of `n`.
        `averaging`: the mean of the weights of the last epochs (SWA) of independent runs. `boosting`: a
        series, by SAMME, or `{"name": "boosting", "method": "gradient"}`. Options are those of a recipe.
    val : pair (X, y), or iterable, optional
        Rows that judge epochs: the weights of the best epoch are kept. Of boosting, they judge stages.
    weights : array `[N]`, optional
        Weight of each training row in the loss, at least 0: the loss of a batch is the weighted mean of those
        of its rows. Rows of weight 0 are left out. Boosting by SAMME starts from them.
    epochs : int
        Passes over the training rows.
    lr : float, optional
        Learning rate after the warm-up; by default 1e-3 with AdamW, and 0.05 with SGD.
    batch_size : int, optional
        Rows of a batch; by default that of the loader, or 32.
    seed : int
        Seed of all randomness.
    device : str or torch.device
        Device of the training; members are returned on the CPU.
    together : {"auto", "stacked", "none"}
        Whether fits make their steps as one: `stacked` does, where networks have one architecture, up to the
        last bits of the results; `none` does not; `auto` does where a short trial is faster and has the same
        bytes. See `training.together` of a recipe.
    workers : int or "auto"
        Fits at once on a CPU, each in a thread of this process; the threads of torch are divided among their
        operations. `auto` is one for each of these threads, or 1 if the networks draw random numbers in
        training (as dropout does). Fits whose steps are mostly Python take turns in one thread nonetheless.
        The last bits of results can depend on it.
    task : {"classification", "regression"}, optional
        What y is; by default regression if it is of a floating type.
    class_names, target_names : sequence of str, optional
        Names of the outputs of the network, in their order; whole numbers in y are then positions. By
        default, the sorted distinct values of y are the classes.
    name : str
        Names of the members: `name_1`, `name_2`, ...
    **settings
        Further settings of the section `training` of a recipe: `optimizer`, `loss`, `scheduler`,
        `warmup_epochs`, `weight_decay`, `momentum`, `label_smoothing`, `class_weights`, `sampler`, `ema`,
        `clip_grad`, `early_stop`, `best_checkpoint`, `precision`, `channels_last`, `cycle_epochs`, and, of
        images of type uint8, `augment`; the defaults are those of a recipe, without augmentation.

    Returns
    -------
    Members
        A list for `committee.Ensemble`, with `seen` and `history`.

    Raises
    ------
    UsageError, DataError
        An argument cannot be used; nothing was trained.
    TrainingError
        A fit could not be completed.

    See Also
    --------
    committee.Ensemble : Combines, calibrates, saves and exports members.
    committee.EnsembleClassifier : The same as an estimator of scikit-learn.
    committee.run : Cross-fitted training of backbones on images, with a store.

    References
    ----------
    B. Lakshminarayanan, A. Pritzel, C. Blundell (2017). Simple and scalable predictive uncertainty estimation
    using deep ensembles. NeurIPS.

    Examples
    --------
    >>> import torch
    >>> from committee import Ensemble, fit_members
    >>> X = torch.randn(60, 2)
    >>> y = (X[:, 0] > 0).long()
    >>> members = fit_members(lambda: torch.nn.Linear(2, 2), (X, y), n=3, epochs=2)
    >>> [member.name for member in members]
    ['member_1', 'member_2', 'member_3']
    >>> Ensemble(members).predict(X).shape
    (60, 2)
    """
    networks, where = Networks(build), _device(device)
    n, seed = count("n", n), count("seed", seed, least=0)
    given = {"epochs": epochs, "lr": lr, "plan": plan, "together": together, **settings}
    training = training_settings(given, judged=val is not None)
    if batch_size is None:
        batch_size = getattr(train, "batch_size", None) or BATCH
    names: dict[str, Any] = {"class_names": class_names, "target_names": target_names}
    data = read(train, val, task=task, device=where, weights=weights, **names)
    _check_augmentation(data, training)
    size = count("batch_size", batch_size)
    spec = MemberSpec(name, "in memory", seed, False, data.shape[-1], size, training)
    workers = workers if workers == "auto" else count("workers", workers)
    runs = Runs(spec, data, where, n, networks, workers)
    return Members(*runs.carry_out())


def _device(device: str | torch.device) -> torch.device:
    """Return one device: of several GPUs, the current one."""
    found = resolve(device) if isinstance(device, str) else device
    if str(found) == "cuda":
        return torch.device("cuda", torch.cuda.current_device())
    return found


def _check_augmentation(data: Arrays, training: Training) -> None:
    if not (data.are_pixels or training.augment.amounts().change_nothing):
        raise UsageError(
            "augment",
            expected="none for inputs of a floating type",
            got=f"'{training.augment.preset}'",
            todo="Give square images of type uint8, or leave it out.",
        )
