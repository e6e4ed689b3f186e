"""The working store of a node: what is brought, once, and verified."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from committee.errors import StoreError, UnfinishedError
from committee.executors._ray_desk import Desk
from committee.executors._ray_flight import MOST, PACKED_SECONDS, Flight, put, share_of_gpu
from committee.executors._ray_mirror import Mirror
from committee.executors._ray_task import Answer, _contents, _do
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import read_manifest


class Near(Mirror):
    """A mirror whose desk is in this process; it counts what it reads."""

    def __init__(self, root: Path, desk: Desk) -> None:
        super().__init__(root, desk)
        self.read = list[str]()

    def _ask(self, what: str, *arguments: Any) -> Any:
        if what == "read":
            self.read.append(arguments[0])
        return getattr(self.desk, what)(*arguments)


@pytest.fixture
def near(store: Store, tmp_path: Path) -> Near:
    write(store, "first")
    return Near(tmp_path / "node", Desk(str(store.root)))


def write(store: Store, text: str) -> None:
    with commit(store.checkpoint("net", 0), kind="example", fingerprint=text) as new:
        (new / "inner").mkdir()
        (new / "inner" / "weights.bin").write_text(text * 100)


def test_a_folder_is_brought_when_its_path_is_asked_for_and_once(near: Near, store: Store) -> None:
    own = near.store(".")
    place = own.checkpoint("net", 0)
    assert read_manifest(place).fingerprint == "first" and place.is_relative_to(near.root)
    known = len(near.read)
    assert own.folds("net") == ("fold_0",) and own.checkpoint("net", "refit").exists() is False
    assert len(near.read) == known
    write(store, "second")
    assert read_manifest(own.checkpoint("net", 0)).fingerprint == "second" and len(near.read) > known


def test_what_a_fit_of_the_node_wrote_is_not_replaced_by_what_it_began_with(
    near: Near, store: Store, tmp_path: Path
) -> None:
    own = near.store(".")
    for text, elsewhere in (("state of epoch 2", store), ("state of epoch 9", own)):
        with commit(elsewhere.resume("net", 1), kind="example", fingerprint=text) as new:
            (new / "epochs.csv").write_text(text)
        assert (own.resume("net", 1) / "epochs.csv").read_text() == text
    # A node whose own state the driver has got goes on with what it wrote after it.
    with commit(store.resume("net", 1), kind="example", fingerprint="state of epoch 11") as new:
        (new / "epochs.csv").write_text("state of epoch 11")
    assert (own.resume("net", 1) / "epochs.csv").read_text() == "state of epoch 11"


def test_what_the_machine_of_the_driver_lacks_is_fetched_by_the_driver(near: Near, store: Store) -> None:
    missing = store.checkpoint("net", 0) / "inner" / "weights.bin"
    content = missing.read_bytes()
    missing.unlink()

    class Fetched(Near):
        """A mirror whose driver downloads what the working copy of a store on object storage lacks."""

        def _ask(self, what: str, *arguments: Any) -> Any:
            found = super()._ask(what, *arguments)
            for kind, place in self.desk.take(0.0) if found is None and what == "read" else ():
                assert (kind, place) == ("missing", "checkpoints/net/fold_0/inner/weights.bin")
                missing.write_bytes(content)
                self.desk.fetched(place)
            return found

    far = Fetched(near.root, near.desk).store(".").checkpoint("net", 0)
    assert (far / "inner" / "weights.bin").read_bytes() == content
    # What the driver cannot fetch either is an error, and no endless wait.
    missing.unlink()
    with pytest.raises(FileNotFoundError):
        near.desk.read("checkpoints/net/fold_0/inner/weights.bin", 0)


def test_the_states_of_tasks_that_have_no_time_come_back(near: Near, store: Store) -> None:
    class Late:
        """Work whose task stores its state and stops at the deadline."""

        def __init__(self, store: Store) -> None:
            self.store = store

        def folders(self, task: str) -> list[Path]:
            return [self.store.checkpoint("net", task)]

        def states(self, task: str) -> list[Path]:
            return [self.store.resume("net", task)]

        def do(self, task: str) -> UnfinishedError:
            with commit(self.store.resume("net", task), kind="example", fingerprint="state") as new:
                (new / "epochs.csv").write_text("1")
            return UnfinishedError("net/refit was stopped")

    work: Any = Late(near.store("."))
    answer = Answer()
    _do("refit", work, near, answer)
    assert isinstance(answer.results[0], UnfinishedError) and answer.folders == {}
    assert list(answer.states) == ["checkpoints/net/refit.resume"]


def test_a_file_that_the_node_sees_is_not_brought(near: Near, store: Store) -> None:
    place = "checkpoints/net/fold_0/inner/weights.bin"
    assert near.file(place) == (store.root / place).absolute() and near.read == []
    hidden = Desk(str(store.root))
    hidden.described = lambda place: ("/nowhere/weights.bin", "digest")  # type: ignore[method-assign]
    far = Near(near.root, hidden)
    assert far.file("checkpoints/net/fold_0/manifest.json").is_relative_to(near.root)
    (store.root / "loose.npy").write_text("no stored folder")
    with pytest.raises(StoreError) as error:
        far.file("loose.npy")
    assert str(error.value) == (
        "/nowhere/weights.bin: expected a file that all nodes see, or one in a folder of the store, got one "
        "that only the driver sees. Put it on a shared disk."
    )


def test_only_files_of_the_store_are_read(near: Near) -> None:
    for place in ("../secret", "/etc/passwd", "checkpoints/../../secret"):
        with pytest.raises(StoreError):
            near.desk.read(place, 0)


def test_short_fits_are_packed_once_the_time_of_their_kind_is_known() -> None:
    flight: Any = Flight.__new__(Flight)
    flight.work, flight._seconds, flight._shares = SimpleNamespace(alike=lambda task: "kind"), {}, {}
    flight._keep = lambda task, folders: None
    assert flight._pack("kind") == 1
    # The first fit of a process imports packages.
    for seconds, size in ((9.0, 1), (PACKED_SECONDS / 4, 4), (PACKED_SECONDS / 4, 4), (60.0, 1)):
        flight._stored(["task"], Answer(results=[True], seconds=[seconds]))
        assert flight._pack("kind") == size
    flight._stored(["task"], Answer(results=[True], seconds=[1e-4]))
    assert flight._pack("kind") == MOST


def test_what_a_stopped_process_has_not_done_is_sent_again() -> None:
    flight: Any = Flight.__new__(Flight)
    flight.ray, flight._waiting = SimpleNamespace(get=lambda answer: answer), []
    flight.work, flight._seconds, flight._shares = SimpleNamespace(alike=lambda task: "kind"), {}, {}
    flight._keep = lambda task, folders: None
    answer = Answer(results=[True], seconds=[0.1])
    assert flight._received(("first", "second", "third"), answer) == [("first", True)]
    assert flight._waiting == ["second", "third"]


def test_what_arrives_is_verified_before_it_is_in_the_store(near: Near, store: Store) -> None:
    (content,) = _contents([store.checkpoint("net", 0)], store.root).values()
    put(store.checkpoint("twin", 0), content)
    assert read_manifest(store.checkpoint("twin", 0)).fingerprint == "first"
    damaged = {name: values.copy() for name, values in content.items()}
    damaged["inner/weights.bin"][3] ^= 1
    with pytest.raises(StoreError, match="expected the content that was stored, got other bytes"):
        put(store.checkpoint("other", 0), damaged)
    assert store.folds("other") == ()


@pytest.mark.parametrize(
    ("memory", "share"), [(0.01, 1 / 33), (0.3, 1 / 3), (0.48, 0.5), (0.6, 1.0), (1.0, 1.0)]
)
def test_a_gpu_is_shared_by_measured_memory(memory: float, share: float) -> None:
    assert share_of_gpu(memory) == share
