"""Settings and fixtures of all tests: one thread, stores that are trained once per run, the command line."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# Read when numpy, scipy and torch load their libraries, here and in the processes that tests start: two
# threads that wait for each other, on a core that another process has, are up to 20 times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, settings

from committee.cli.main import main
from committee.store.lock import HeldError, hold

if TYPE_CHECKING:
    from committee.store.layout import Store

# Where a shell sets it, pytest rewrites all tests in each process of each run (12 seconds), and each command
# that a test starts compiles the package (0.3 seconds).
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ.pop("MLFLOW_TRACKING_URI", None)  # which would track the runs of tests
# Ray reads these when it is imported: the clusters of tests ask for a token, and refuse others at once.
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(16), RAY_NUM_REDIS_GET_RETRIES="3")
torch.set_num_threads(1)
if not torch.cuda.is_available():
    # Each step of an optimizer asks whether there is a GPU: this answers without looking for a driver.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell has what it starts in the background ignore SIGINT: tests and their subprocesses send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile(
    "committee",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # A busy machine is no fault of a test.
)
settings.load_profile("committee")


SLOW = {"once", "nets", "packaged", "exported"}
"""Fixtures of all tests that train networks, export them, or run the snippets of a page."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what has such a fixture: `make test-fast` leaves it out.

    The files of this folder, which have the longest tests, are first: at the end of a run, a process without
    tests waits for the others.
    """
    for item in items:
        if not SLOW.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True, scope="session")
def _thawed() -> Iterator[None]:
    """Let the interpreter collect, as it ends, what `_frozen` exempts from garbage collection."""
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> None:
    """Exempt what exists before a test file from garbage collection: each fit collects garbage.

    Hundreds of thousands of objects of modules and collected tests made that half of the time of a fit. They
    stay exempt: to look at all of them again would take half a second in each file.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _no_flush() -> Iterator[None]:
    """Do not wait for the disk: only `store/conftest.py` simulates power cuts, with flushes of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_registry() -> Iterator[None]:
    """Have torch make its table of ONNX operators once: each export reads the sources of 500 functions."""
    export = torch.onnx.export

    def with_table(*args: Any, **options: Any) -> Any:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        make = functools.cache(ONNXRegistry.from_torchlib)

        def copied(**which: Any) -> Any:
            table = copy.copy(make(**which))
            table.functions = {name: list(found) for name, found in table.functions.items()}
            return table

        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(copied))
        patch.setattr(torch.onnx, "export", export)
        return export(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", with_table)
        yield


@pytest.fixture(autouse=True, scope="session")
def _timed_once() -> Iterator[None]:
    """Time each model and file once: on a busy machine, measurements are repeated."""
    from committee.models.timing import interleaved
    from committee.pipeline.comparing import served
    from committee.pipeline.shared import costs, trials

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "AGAIN", 1)
        for module in (costs, trials, served):
            patch.setattr(module, "interleaved", functools.partial(interleaved, rounds=1, most=1))
        yield


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Take back what a verb set up in the package's logger, also one in a fixture of several tests."""
    logger = logging.getLogger("committee")
    logger.setLevel(logging.NOTSET)
    logger.handlers = []
    yield
    logger.setLevel(logging.NOTSET)
    logger.handlers = []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store in a temporary folder."""
    from committee.store.layout import Store

    return Store(tmp_path / "store")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run `committee` with the given words in this process: `cli("combine", path, "--json")`.

    The terminal is wide, so that each row of a table is one line.
    """
    monkeypatch.setenv("COLUMNS", "400")

    def run(*words: object) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


Once = Callable[[str, Callable[[Path], None]], Path]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in a block of the same folder, and keep others out of this block."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold(folder))
                break
            except HeldError:
                time.sleep(0.1)
        yield


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Fill a folder once per run, also where several processes share the run: `once(name, fill) -> folder`.

    The folder is to be read only: tests that write take a copy of it. Runs of pytest that a test starts use
    the folders of the run it is part of.
    """
    base = tmp_path_factory.getbasetemp()
    own = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    shared = Path(os.environ.setdefault("COMMITTEE_TESTS_ONCE", str(own)))

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = shared / name / "folder", shared / name / "done"
        with alone(shared / name):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def object_storage() -> Iterator[Any]:
    """A client of an S3 storage here, with the bucket `photos`; its address is in the environment."""
    for package in ("moto", "flask", "obstore"):
        pytest.importorskip(package)
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_REGION", "us-east-1")
        client = boto3.client("s3", endpoint_url=settings["AWS_ENDPOINT_URL"], region_name="us-east-1")
        client.create_bucket(Bucket="photos")
        yield client
    server.stop()


@pytest.fixture(scope="module")
def ray_cluster(ray_head: str) -> Iterator[str]:
    """The address of the Ray cluster of the whole run, from which this process disconnects after a module.

    Ray ends a process whose node is lost: tests that do not use it must not depend on it.
    """
    yield ray_head
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


@pytest.fixture(scope="session")
def ray_head(tmp_path_factory: pytest.TempPathFactory, object_storage: object) -> Iterator[str]:
    """The address of a Ray cluster of one node with two CPUs, which asks for a token, for the whole run.

    Tests that use it are marked `slow`: it starts in seven seconds.
    """
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    nets = Path(__file__).parent / "training" / "nets"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(nets), prepend=os.pathsep)
        with ray_node("--head", "--port=0", "--num-cpus=2", host="127.0.0.2") as address:
            yield address


@contextlib.contextmanager
def ray_node(*words: str, host: str) -> Iterator[str]:
    """Run a node of Ray in a process group of its own; yield the address of its cluster."""
    # Not a folder of pytest: the names of sockets have at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    program = "from ray.scripts.scripts import main; main()"
    options = (f"--node-ip-address={host}", f"--temp-dir={folder}", f"--object-store-memory={100 * 2**20}")
    quiet = ["--block", "--disable-usage-stats", "--include-log-monitor=false"]
    quiet += ["--include-dashboard=false"] * ("--head" in words)
    command = [sys.executable, "-c", program, "start", *words, *options, *quiet]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            said = ""
            while "To terminate the Ray runtime" not in said:
                said += (line := process.stdout.readline())
                assert line, said
            (address,) = set(re.findall(r"--address='([\d.:]+)'", said)) or {""}
            yield address
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def digits_file(once: Once) -> Path:
    """240 scans of digits, 8 x 8 pixels, as a data set of arrays."""
    import numpy as np
    from sklearn.datasets import load_digits

    def save(folder: Path) -> None:
        digits = load_digits()
        images = (digits.images[:240] * 15.9).astype(np.uint8)
        np.savez(folder / "digits.npz", images=images, labels=digits.target[:240])

    return once("digits", save) / "digits.npz"


@pytest.fixture(scope="session")
def tiny_settings(digits_file: Path) -> list[str]:
    """Overrides of a recipe that trains two tiny backbones in seconds."""
    return [
        f"dataset.path={digits_file}",
        "dataset.channels=1",
        "dataset.img_size=32",
        "dataset.fit=crop",
        "device=cpu",
        "backbones.include=[timm:test_resnet, timm:test_vit]",
        "training.pretrained=false",
        "training.epochs=2",
        "training.folds=3",
        "training.lr=0.003",
    ]


@pytest.fixture(scope="session")
def trained_root(once: Once, tiny_settings: list[str]) -> Path:
    """The folder of a store with those two members, trained once: to be read only."""
    from committee.pipeline.stages.train import Train
    from committee.recipe.load import load_recipe
    from committee.store.layout import Store

    def fill(folder: Path) -> None:
        outcome = Train().run(load_recipe(None, tiny_settings), Store(folder / "store"))
        assert outcome.done == ["test_resnet", "test_vit"], outcome.failed

    return once("trained", fill) / "store"


@pytest.fixture
def trained(trained_root: Path, tmp_path: Path) -> Store:
    """A copy of that store, to do anything with."""
    from committee.store.layout import Store

    return Store(shutil.copytree(trained_root, tmp_path / "trained"))


@pytest.fixture
def trained_with(once: Once, trained_root: Path, tmp_path: Path) -> Callable[..., Store]:
    """Return a copy of that store with further results, which are made once per run.

    `trained_with(name, add)` calls `add(store)` if no test has done so under this name.
    """
    from committee.store.layout import Store

    def make(name: str, add: Callable[[Store], object]) -> Store:
        def fill(folder: Path) -> None:
            add(Store(shutil.copytree(trained_root, folder / "store")))

        return Store(shutil.copytree(once(name, fill) / "store", tmp_path / "trained"))

    return make


@pytest.fixture(scope="session")
def number_settings(once: Once) -> list[str]:
    """Overrides of a recipe that trains two tiny networks on the ink of digits, in two targets."""
    import numpy as np
    from sklearn.datasets import load_digits

    def save(folder: Path) -> None:
        images = (load_digits().images[:120] * 15.9).astype(np.uint8)
        values = {"ink": images.mean((1, 2)), "left": images[:, :, :4].mean((1, 2)) / 1000}
        np.savez(folder / "ink.npz", images=images, **values)

    path = once("ink", save) / "ink.npz"
    return [
        f"dataset={{path: '{path}', targets: [ink, left], units: {{ink: gray}}, channels: 1, img_size: 32}}",
        "device=cpu",
        "backbones.include=[timm:test_resnet, timm:test_vit]",
        "training={pretrained: false, epochs: 1, folds: 2, lr: 0.003, augment: none}",
    ]


@pytest.fixture(scope="session")
def numbers_root(once: Once, number_settings: list[str]) -> Path:
    """The folder of a store with members, ensembles and reports of numbers, made once: to be read only."""
    from committee.pipeline.run import run_verb
    from committee.recipe.load import load_recipe
    from committee.store.layout import Store

    def fill(folder: Path) -> None:
        recipe, store = load_recipe(None, number_settings), Store(folder / "store")
        for verb in ("train", "build-ensemble", "evaluate"):
            outcome = run_verb(verb, recipe, store)
            assert not outcome.failed, outcome.failed

    return once("numbers", fill) / "store"


@pytest.fixture
def with_val(trained: Store) -> Store:
    """A store with a val split: its test rows under other ids."""
    from dataclasses import replace

    import numpy as np

    from committee.predictions.table import Predictions
    from committee.store.commit import commit

    for name in trained.members():
        rows = Predictions.load(trained.kfold(name) / "test_refit")
        other = replace(rows, sample_ids=np.array([f"val{row}" for row in range(len(rows))]))
        with commit(trained.kfold(name) / "val_refit", kind="predictions", fingerprint="val") as folder:
            other.save(folder)
    return trained


@pytest.fixture(scope="session")
def hostile_root(once: Once) -> Path:
    """The folder of a store whose classes have hostile names, run once: to be read only.

    They would run as a script, as a formula of a spreadsheet, or break a table of Markdown.
    """
    import numpy as np
    from sklearn.datasets import load_digits

    from committee.pipeline.run import run
    from committee.recipe.load import load_recipe
    from committee.store.layout import Store

    names = np.array(["<script>document.title='x'</script>", "=1+1|\n# a", '"><img src=x onerror=alert(1)>'])

    def fill(folder: Path) -> None:
        digits = load_digits()
        kept = np.flatnonzero(digits.target < len(names))[:90]
        images = (digits.images[kept] * 15.9).astype(np.uint8)
        np.savez(folder / "data.npz", images=images, labels=names[digits.target[kept]])
        settings = [
            f"dataset={{path: '{folder / 'data.npz'}', channels: 1, img_size: 32, num_workers: 0}}",
            "device=cpu",
            "models=[{name: 'timm:test_vit', as: one}, {name: 'timm:test_resnet', as: two}]",
            "training={pretrained: false, epochs: 2, folds: 2, lr: 0.003, augment: none}",
            "runs.score_ensemble.methods=[soft_voting, weighted]",
            "exports.enable=false",
        ]
        outcome = run(load_recipe(None, settings), Store(folder / "store"))
        assert not outcome.failed, outcome.failed

    return once("hostile", fill) / "store"


@pytest.fixture
def own_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with builders `small`, and `short`, whose last layer lacks a class: `python:own_nets`."""
    text = (
        "from torch import nn\n"
        "def small(classes, channels):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64 * channels, classes))\n"
        "def short(classes, channels):\n"
        "    return small(classes - 1, channels)\n"
    )
    (tmp_path / "own_nets.py").write_text(text, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return "python:own_nets"
