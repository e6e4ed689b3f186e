import errno
import os
import subprocess
from pathlib import Path

import pytest

from committee.errors import StoreError, UnknownNameError, UsageError
from committee.store import lock
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import NEW, OLD, read_manifest


def put(folder, **facts):
    with commit(folder, kind="x", fingerprint="", **facts) as new:
        (new / "a").write_text("", encoding="utf-8")


@pytest.fixture
def filled(store):
    put(store.checkpoint("resnet18", 0))
    put(store.checkpoint("resnet18", "refit"))
    put(store.resume("resnet18", 1))
    put(store.resume("half_done", 0))
    put(store.ensemble("soft_voting_ensemble"), method="soft_voting")
    put(store.ensemble("best"), method="stacking_lr")
    return store


def test_a_folder_below_the_home_folder():
    """A shell does not expand `--store=~/cells`, nor a recipe `store: ~/cells`."""
    assert Store("~/cells").root == Path.home() / "cells"


def test_places(store):
    places = [
        store.checkpoint("m", 3),
        store.kfold("m"),
        store.member_metrics("m"),
        store.catalog,
        store.ensemble_metrics("e"),
        store.deploy("e"),
        store.resume("m", "refit"),
    ]
    assert [place.relative_to(store.root).as_posix() for place in places] == [
        "checkpoints/m/fold_3",
        "kfold/m",
        "metrics/m",
        "ensembles/ensemble_catalog.json",
        "metrics/ensembles/e",
        "deploy/e",
        "checkpoints/m/refit.resume",
    ]


def test_what_is_there_is_what_has_a_manifest(filled):
    (filled.checkpoint("empty", 0)).mkdir(parents=True)
    assert filled.members() == ("resnet18",)
    assert filled.folds("resnet18") == ("fold_0", "refit")
    assert filled.ensembles() == ("best", "soft_voting_ensemble")


def test_short_names(filled):
    assert filled.resolve("soft_voting") == "soft_voting_ensemble"
    assert filled.resolve("stacking_lr") == "best"
    assert filled.resolve("resnet18") == "resnet18"


def test_an_unknown_name_has_a_nearest(filled, store):
    with pytest.raises(UnknownNameError) as caught:
        filled.resolve("resnet81")
    assert str(caught.value) == (
        f"{filled.root}: expected one of best, soft_voting_ensemble, resnet18, got 'resnet81'. "
        "Did you mean 'resnet18'?"
    )
    with pytest.raises(UnknownNameError, match=r"Did you mean 'stacking_lr'\?$"):
        filled.resolve("staking_lr")


def test_an_empty_store_has_no_names(store):
    assert store.members() == store.ensembles() == ()
    with pytest.raises(UnknownNameError) as caught:
        store.resolve("a")
    assert str(caught.value) == f"{store.root}: expected one of its models (there are none), got 'a'."


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", ".hidden", "ensembles", "CON", "a.", "x" * 101])
def test_names_that_are_no_folders(store, name):
    with pytest.raises(UsageError) as caught:
        store.kfold(name)
    assert str(caught.value) == (
        "name in the store: expected at most 100 letters, digits and . _ + @ = -, and no reserved name, "
        f"got '{name}'. Choose another name."
    )


def test_the_holder_sweeps(filled):
    half = filled.kfold("resnet18").parent / f".x.abcd{NEW}"
    half.mkdir(parents=True)
    with filled.hold():
        assert not half.exists()
        half.mkdir()
        with filled.hold():
            assert half.exists()


@pytest.mark.parametrize(
    "top", ["checkpoints", "checkpoints/resnet18", "kfold", "ensembles", "metrics", "deploy"]
)
def test_a_link_in_a_store_is_not_followed(tmp_path, top):
    store = Store(tmp_path / "store")
    (tmp_path / "outside").mkdir()
    place = store.root / top
    place.parent.mkdir(parents=True)
    try:
        place.symlink_to(tmp_path / "outside", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    for where, name in (
        ("checkpoint", "resnet18"),
        ("kfold", "a"),
        ("ensemble", "a"),
        ("deploy", "a"),
        ("ensemble_metrics", "a"),
    ):
        try:
            path = getattr(store, where)(name, *([0] if where == "checkpoint" else []))
            assert not path.is_relative_to(place)
        except StoreError as error:
            assert f"{store.root}: expected names of files in this folder, got '{top}" in str(error)  # noqa: PT017


def test_a_stored_folder_that_is_a_link_is_refused(filled, tmp_path):
    filled.kfold("resnet18").mkdir(parents=True)
    try:
        (filled.kfold("resnet18") / "oof").symlink_to(
            filled.checkpoint("resnet18", 0), target_is_directory=True
        )
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.raises(StoreError, match="expected names of files in this folder, got 'oof'"):
        read_manifest(filled.kfold("resnet18") / "oof")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EROFS, "not writable (read-only file system). "),
        (errno.ENOSPC, "expected more disk space, got no space left on device ("),
        (errno.EIO, "not writable (input/output error). "),
    ],
)
def test_a_store_on_a_bad_disk_cannot_be_held(filled, watched, code, said):
    with filled.hold():
        pass
    with watched() as disk, filled.hold():
        pass
    opened = [(index, call) for index, call in enumerate(disk.calls) if call.startswith("io")]
    tries = [index for index, call in opened if ".probe." in call or call.endswith(".lock")]
    assert len(tries) == 4  # the lock, the store, checkpoints, ensembles
    for index in tries:
        entered = False
        error = OSError(code, os.strerror(code))
        with pytest.raises(StoreError) as caught, watched(fail=index, error=error), filled.hold():
            entered = True
        assert not entered and not lock.holds(filled.root)
        assert said.split(" got ")[-1].rstrip(" (.") in str(caught.value)


def test_a_read_only_file_system_is_said_at_the_start(filled):
    mount = ["mount", "--bind", str(filled.root), str(filled.root)]
    again = ["mount", "-o", "remount,bind,ro", str(filled.root)]
    try:
        if any(subprocess.run(each, capture_output=True, check=False).returncode for each in (mount, again)):
            pytest.skip("no right to mount")
    except OSError:
        pytest.skip("no mount here")
    try:
        with pytest.raises(StoreError) as caught, filled.hold():
            pass
    finally:
        subprocess.run(["umount", "-l", str(filled.root)], check=True)
    assert str(caught.value) == (
        f"{filled.root}: not writable (read-only file system). "
        "Make it writable, or name another folder with --store."
    )


def test_a_reader_mends_what_a_killed_writer_left(filled):
    place = filled.checkpoint("resnet18", 0)
    place.rename(place.with_name(f".{place.name}.abcd{OLD}"))
    assert filled.folds("resnet18") == ("fold_0", "refit")  # it seems to be in the middle of a replacement
    filled.mend()
    assert read_manifest(place).kind == "x"
    (filled.root / "other").mkdir()
    filled.mend()
    assert not Store(filled.root / "never").root.exists()
