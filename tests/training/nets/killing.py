"""Kill fits at chosen moments, in children of one process that has imported all there is; then go on.

Called as `python killing.py FOLDER < JSON`: a list of settings and moments. A moment is "batch:N", the N-th
batch that the process learns from (of a stack, one of all its fits), or "file:N", the N-th change of files as
the third epoch is kept. With `training.together=stacked`, the fits are the folds of a cross-fit.
FOLDER gets weights to start from, `published.pt`. Answers with JSON: how the killed process and the next one
ended, and the digest of weights and out-of-fold logits.
"""

import gc
import hashlib
import json
import logging
import os
import signal
import sys
from pathlib import Path

import torch
from making import make_dataset, make_spec

from committee.store.commit import sweep
from committee.store.layout import Store
from committee.store.manifest import read_manifest
from committee.training.crossfit.crossfits import crossfit
from committee.training.fit import resume
from committee.training.fit.predict import logits_of
from committee.training.fit.stacked_step import StackedStep
from committee.training.fit.start import start_member
from committee.training.fit.steps import Step
from committee.training.fit.train import train
from committee.training.plans.single import Single

CPU = torch.device("cpu")
STACKED = "training.together=stacked"
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "open"}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def arrange(moment):
    """Make this process kill itself at a moment."""
    kind, count = moment.split(":")
    left = [int(count)]

    def tick():
        left[0] -= 1
        if left[0] == 0:
            die()

    if kind == "batch":
        learn = Step.__call__
        Step.__call__ = lambda *args: (tick(), learn(*args))[1]
        together = StackedStep.__call__
        StackedStep.__call__ = lambda *args: (tick(), together(*args))[1]
        return
    keep, kept = resume.keep, []

    def heard(event, args):
        if kept and event in CHANGES and (event != "open" or (args[2] or 0) & os.O_WRONLY):
            tick()

    def keep_and_count(folder, fingerprint, state, columns):
        if len(state["history"]) == 3:
            kept.append(True)
        keep(folder, fingerprint, state, columns)
        kept.clear()

    resume.keep = keep_and_count
    sys.addaudithook(heard)


def run(settings, data, folder):
    """Fit, and return the digest of what comes out."""
    if STACKED in settings:
        return cross_fitted(settings, data, Store(folder.with_name("store")))
    rows, held_out = data.rows("train")[:-60], data.rows("train")[-60:]
    member = train(
        make_spec(*settings), data, rows, fold="fold_0", device=CPU, folder=folder, fingerprint="x"
    ).member
    digest = hashlib.sha256(logits_of(member, data, held_out, batch_size=32, device=CPU).tobytes())
    for name, value in sorted(member.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def cross_fitted(settings, data, store):
    """Train the folds as one, and return the digest of their weights and predictions."""
    with store.hold():
        [(_, error)] = crossfit([Single(make_spec(*settings, net="perceptron"), data, store, CPU)], store, 1)
    if error is not None:
        raise error
    assert read_manifest(store.checkpoint("tiny_nets_perceptron", 0)).facts["stacked"]
    digest = hashlib.sha256()
    for path in sorted(store.root.rglob("*")):
        if path.suffix in (".safetensors", ".npy"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def in_child(work):
    """Do `work` in a child; return how that ended: a signal or 0."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    torch.set_num_threads(1)
    gc.freeze()  # each fit collects garbage
    logging.disable()
    top = Path(sys.argv[1])
    data = make_dataset(top / "data")
    file = top / "digest"
    published = start_member(make_spec("seed=9"), data, "x").network.net
    torch.save(published.state_dict(), top / "published.pt")
    answers = []
    for number, (settings, moments) in enumerate(json.load(sys.stdin)):
        found = {}
        for moment in ("never", *moments):
            folder = top / f"{number}-{moment.replace(':', '-')}" / "fold_0.resume"
            end = 0
            if moment != "never":
                end = in_child(lambda s=settings, f=folder, m=moment: (arrange(m), run(s, data, f)))
                sweep(folder.parent)
            fine = in_child(lambda s=settings, f=folder: file.write_text(run(s, data, f)))
            found[moment] = [end, fine, file.read_text()]
        answers.append(found)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
