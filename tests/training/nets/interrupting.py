"""Run the command line in children of one process that has imported all, and let their networks signal them.

Called as `python interrupting.py FOLDER < JSON`: the words of a command, and signals, each with the batch at
which it comes. Answers with JSON: exit code, seconds after the signal, what was said, exit code of the same
command once more, and the digest of all that it stored; first for a run that nobody disturbs.
"""

import gc
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import hostile_nets
import torch

import committee.pipeline.stages.train
from committee.base import interrupt
from committee.cli.main import main


def in_child(words, folder, number="", batch="0"):
    """Run a command in a child that may signal itself; return exit code, seconds from then on, and stderr."""
    said, asked = folder / "said", folder / "asked"
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ |= {"SIGNAL": number, "BATCH": batch}
        kill = os.kill
        os.kill = lambda *args: (asked.touch(), kill(*args))
        os.dup2(os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 1
        try:
            code = main(words)
        finally:
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, time.time() - asked.stat().st_mtime if asked.exists() else 0.0, said.read_text()


def digest(store):
    """Return the digest of all weights and logits of a store, and of what it forgot to remove."""
    found = hashlib.sha256()
    for path in sorted(store.rglob("*")):
        if path.suffix in (".safetensors", ".npy") or ".resume" in path.name or path.name[-1] == "~":
            found.update(path.relative_to(store).as_posix().encode())
            found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()


def run(words, moments, top):
    torch.set_num_threads(1)
    # That whoever does not listen is ended has a test of its own; here, what listens ends by itself.
    interrupt.PATIENCE = 120
    # Imported once, for all children.
    assert committee.pipeline.stages.train and hostile_nets
    gc.freeze()  # each fit collects garbage
    answers = []
    for place, (number, batch) in enumerate([["", 0], *moments]):
        folder = top / str(place)
        folder.mkdir()
        command = [*words, "--store", str(folder / "store")]
        ended = in_child(command, folder, number, str(batch))
        again = in_child(command, folder)[0] if number else ended[0]
        answers.append([*ended, again, digest(folder / "store")])
    print(json.dumps(answers))


if __name__ == "__main__":
    run(*json.load(sys.stdin), Path(sys.argv[1]))
