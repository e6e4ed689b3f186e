import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from committee.base.folds import fingerprint
from committee.errors import CommitteeError, DataError
from committee.images import waiting
from committee.images.dataset import open_dataset, remove_unused
from committee.images.decode import decode
from committee.images.splits import hold_out
from committee.images.view import CanvasSpec, View, frame
from committee.store.lock import HeldError
from committee.store.manifest import NEW


@pytest.fixture
def opened(store):
    def run(settings, *, size=8, folds=3, seed=1):
        return open_dataset(settings, store, img_sizes=[size], folds=folds, seed=seed)

    return run


@pytest.fixture
def said(opened):
    def run(settings, **keys):
        with pytest.raises(CommitteeError) as caught:
            opened(settings, **keys)
        return caught.value.exit_code, str(caught.value)

    return run


def canvas_of(data):
    """Return the only canvas of a data set."""
    (canvas,) = data.canvases.values()
    return canvas


def same(one, other):
    for name in ("labels", "sample_ids", "splits", "folds"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert one.fingerprint == other.fingerprint and one.class_names == other.class_names


def test_rows_images_and_labels_belong_together(make_folder, settings, opened):
    root = make_folder("root", {"cat": 12, "dog": 9})
    data = opened(settings(root))
    assert data.name == "root" and data.class_names == ("cat", "dog")
    assert canvas_of(data).shape == (21, 10, 10, 3)
    rows = [20, 0, 7]
    for row, image in zip(rows, data.images(rows), strict=True):
        name = data.sample_ids[row]
        assert data.class_names[data.labels[row]] == name.split("/")[0]
        original = torch.from_numpy(decode(root / str(name)))[None]
        assert torch.equal(image, frame(original, 10, "crop")[0])
    splits = [data.rows(split) for split in ("train", "val", "test")]
    assert sorted(np.concatenate(splits)) == list(range(21))
    assert np.bincount(data.labels[data.rows("test")]).tolist() == [2, 2] and len(splits[1]) == 0
    assert sorted(set(data.folds[data.rows("train")])) == [0, 1, 2]
    assert (data.folds[data.rows("test")] == -1).all()


def test_decoded_once(make_folder, settings, opened, decoded):
    root = make_folder("root", {"cat": 9, "dog": 9})
    first = opened(settings(root))
    assert len(decoded) == 18
    same(opened(settings(root), seed=99), first)
    same(opened(None), first)
    assert len(decoded) == 18
    assert canvas_of(opened(settings(root), size=10)).shape == (18, 12, 12, 3)
    assert len(decoded) == 36


def test_one_pass_makes_all_missing_canvases_and_unused_ones_are_removed(
    make_folder, settings, store, decoded
):
    place = settings(make_folder("root", {"cat": 9, "dog": 9}))
    keys = {"folds": 3, "seed": 1}
    own, other = CanvasSpec(10, "crop", 3), CanvasSpec(4, "pad", 3)
    first = open_dataset(place, store, img_sizes=[8, 20], **keys)
    assert len(decoded) == 18 and [spec.size for spec in first.canvases] == [10, 23]
    data = open_dataset(place, store, img_sizes=[8, 12, 8], canvases=[other], **keys)
    assert len(decoded) == 36 and list(data.canvases) == [own, CanvasSpec(14, "crop", 3), other]
    assert data.fingerprint == first.fingerprint
    for row, name in enumerate(data.sample_ids[:3].tolist()):
        original = torch.from_numpy(decode(f"{place.path}/{name}"))[None]
        for view in (View(8), View(12), View(4, fit="pad")):
            assert torch.equal(view(data.images([row], view)), view(original))
    with pytest.raises(DataError) as caught:
        data.images([0], View(20))
    assert str(caught.value) == (
        "root: expected images decoded as 23-crop-3, got 10-crop-3, 14-crop-3, 4-pad-3. "
        "Name their size in open_dataset."
    )
    remove_unused(store, [own])
    assert [place.name[:9] for place in store.root.glob("cache/*")] == ["canvas-10"]
    same(open_dataset(None, store, img_sizes=[8], **keys), first)
    assert len(decoded) == 36


def test_a_damaged_cache_is_made_again(make_folder, settings, opened, store, decoded):
    root = make_folder("root", {"cat": 9, "dog": 9})
    first = opened(settings(root))
    pixels = canvas_of(first).copy()
    [file] = store.root.glob("cache/*/canvas.npy")
    del first
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert np.array_equal(canvas_of(opened(None)), pixels)
    assert len(decoded) == 36


def test_the_store_may_know_the_data_without_the_source(make_folder, settings, opened):
    root = make_folder("root", {"cat": 9, "dog": 9})
    first = opened(settings(root))
    root.rename(root.with_name("moved"))
    same(opened(None), first)
    same(opened(settings()), first)


def test_no_data_anywhere(store, said):
    sentence = (
        f"dataset.path: expected the folder or file of the images, got none, and the store "
        f"{store.root.as_posix()} contains no data set. Set it: --set dataset.path=FOLDER"
    )
    assert said(None) == (2, sentence)


def test_one_store_one_data_set(make_folder, settings, opened, store, said):
    root = make_folder("root", {"cat": 9, "dog": 9})
    opened(settings(root))
    assert said(settings(make_folder("other", {"cat": 9, "dog": 10}))) == (
        1,
        f"{store.root.as_posix()}: expected the data set of this store, root with 18 images, "
        "got 19 images with other content or labels. Use another --store for other data.",
    )
    (root / "cat" / "0.png").write_bytes((root / "dog" / "0.png").read_bytes())
    assert said(settings(root))[1].startswith(f"{store.root.as_posix()}: expected the data set of this store")


def test_the_splits_of_a_store_do_not_change(make_folder, settings, opened, said):
    root = make_folder("root", {"cat": 9, "dog": 9})
    opened(settings(root))
    assert said(settings(root, test_size=0.4)) == (
        1,
        "dataset.test_size: expected 0.2, as in the first run with this store, got 0.4. "
        "Use another --store for another split.",
    )
    assert said(settings(root), folds=2) == (
        1,
        "training.folds: expected 3, the number of folds in this store, got 2. "
        "Use another --store for other folds.",
    )


def test_folds_may_come_later(make_folder, settings, opened, caplog):
    root = make_folder("root", {"cat": 20, "dog": 20})
    caplog.set_level("INFO")
    without = opened(settings(root), folds=0)
    assert caplog.messages[0] == (
        "Without folds, ensembles are fitted on a val split: 6 of 40 images are held out for it "
        "(dataset.val_size)"
    )
    assert (without.folds == -1).all() and len(without.rows("val")) == 6 and len(without.rows("test")) == 8
    dealt = opened(settings(root))
    assert np.array_equal(dealt.splits, without.splits) and dealt.fingerprint == without.fingerprint
    assert set(dealt.folds[dealt.rows("train")]) == {0, 1, 2} and (dealt.folds[dealt.rows("val")] == -1).all()
    same(opened(settings(root), folds=0), dealt)
    assert fingerprint(dealt.sample_ids, dealt.folds) != fingerprint(without.sample_ids, without.folds)


@pytest.mark.parametrize(("val", "folds", "train"), [("join", 2, 6), ("apart", 2, 4), ("join", 0, 4)])
def test_val_joins_or_stays_apart(make_folder, settings, opened, val, folds, train):
    counts = {"train": 2, "val": 1, "test": 1}
    root = make_folder(
        "root", {f"{split}/{name}": counts[split] for split in counts for name in ("cat", "dog")}
    )
    data = opened(settings(root, val=val), folds=folds)
    assert len(data.rows("train")) == train and len(data.rows("test")) == 2


def test_a_class_only_in_test(make_folder, settings, said):
    root = make_folder("root", {"train/cat": 4, "train/dog": 4, "test/dog": 1, "test/emu": 1})
    assert said(settings(root)) == (
        1,
        "training rows: expected rows of every class, got none of 'emu'. "
        "Add some, or remove the class from the val and test splits.",
    )


def test_more_folds_than_the_smallest_class_has_rows(make_folder, settings, said):
    assert said(settings(make_folder("root", {"cat": 9, "dog": 3}))) == (
        1,
        "folds: expected at most 2, the number of training samples of class 'dog', got 3. "
        "Use 2 folds, or add samples.",
    )


def test_own_folds(make_table, settings, opened, said):
    table = make_table(
        ["path", "label", "fold", "split"],
        lambda row: [
            f"images/{row}.png",
            row % 2,
            "" if row > 19 else f"{(row // 2) % 4 + 8}",
            "test" if row > 19 else "train",
        ],
    )
    data = opened(settings(table), folds=5)
    assert data.folds.tolist() == [(row // 2) % 4 for row in range(20)] + [-1] * 4
    same(opened(settings(table), folds=7), data)


def test_own_folds_must_be_complete(make_table, settings, said):
    table = make_table(["path", "label", "fold"], lambda row: [f"images/{row}.png", row % 2, row % 3 or ""])
    code, sentence = said(settings(table))
    assert code == 1 and sentence.startswith(
        "fold column: expected a fold for each training row, got none for 'images/3.png', 'images/"
    )
    assert sentence.endswith(" more. Complete the column, or leave it out.")


def test_groups_stay_whole(make_table, settings, opened):
    table = make_table(["path", "label", "group"], lambda row: [f"images/{row}.png", row % 2, f"g{row // 2}"])
    data = opened(settings(table))
    places = [
        set(zip(data.splits[data.groups == g], data.folds[data.groups == g], strict=True)) for g in range(12)
    ]
    assert all(len(place) == 1 for place in places)
    assert len(data.rows("test")) in (4, 6)


def test_a_class_in_one_group(make_table, settings, said):
    table = make_table(["path", "label", "group"], lambda row: [f"images/{row}.png", row % 2, row % 2 * row])
    assert said(settings(table)) == (
        1,
        "groups: expected at least 2 groups in every class, so that one can be held out, "
        "got 1 in '0' (copies of an image are one group). "
        "Add samples, provide splits and folds, or leave the class out.",
    )


def test_a_group_in_two_splits(make_table, settings, said):
    table = make_table(
        ["path", "label", "group", "split"],
        lambda row: [f"images/{row}.png", row % 2, f"g{row // 4}", "test" if row > 21 else ""],
    )
    assert said(settings(table)) == (
        1,
        "groups: expected each group in one split, got 'g5' in several. "
        "Move the rows of a group to one split.",
    )


def test_a_group_in_two_folds_is_named_as_the_table_names_it(make_table, settings, said):
    table = make_table(
        ["path", "label", "group", "fold"],
        lambda row: [f"images/{row}.png", row % 2, f"g{row // 2}", row // 3 % 2],
    )
    code, sentence = said(settings(table))
    assert code == 1
    assert sentence.startswith("folds: expected each group in one fold, got several for 'g")


def test_a_folder_beside_the_splits(make_folder, settings, said):
    root = make_folder("split", {"train/cat": 4, "train/dog": 4, "test/cat": 2, "test/dog": 2, "notes": 1})
    assert said(settings(root)) == (
        1,
        f"{root}: expected only train, val and test, or a folder for each class, "
        "got also 'notes'. Move folders that are not splits elsewhere.",
    )


def test_gray_and_squashed(make_folder, settings, opened):
    root = make_folder("root", {"cat": 9, "dog": 9})
    assert canvas_of(opened(settings(root, channels=1, fit="squash"), size=8)).shape == (18, 8, 8, 1)


@given(st.lists(st.integers(0, 2), min_size=8, max_size=80), st.floats(0.05, 0.9), st.integers(0, 9))
def test_held_out_rows_are_stratified_and_go_by_id(labels, share, seed):
    labels = np.array(labels)
    ids = np.array([f"image {row}" for row in range(len(labels))])
    pool = np.ones(len(labels), dtype=bool)
    held = hold_out(ids, labels, pool, None, share, seed)
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        taken = held[labels == label].sum()
        assert taken < count and abs(taken - share * count) <= 1
    order = np.random.default_rng(seed).permutation(len(labels))
    assert np.array_equal(hold_out(ids[order], labels[order], pool, None, share, seed), held[order])


def test_a_cache_that_another_process_makes_is_waited_for_and_used(
    make_folder, settings, opened, store, monkeypatch
):
    given = settings(make_folder("root", {"cat": 20, "dog": 20}))
    opened(given)
    (folder,) = (store.root / "cache").iterdir()
    hidden = folder.with_name(f".{folder.name}.12345678{NEW}")
    folder.rename(hidden)  # as long as the other process writes it
    attempts = []

    def hold_by_another(self):
        attempts.append(1)
        if len(attempts) == 4:
            hidden.rename(folder)
        raise HeldError("store")

    monkeypatch.setattr(waiting, "PATIENCE", 0.2)
    monkeypatch.setattr(waiting, "POLL", 0)
    monkeypatch.setattr(type(store), "hold", hold_by_another)
    assert len(opened(given).labels) == 40 and len(attempts) == 4
    with pytest.raises(HeldError):  # for something else
        opened(given, size=6)


def test_a_data_set_that_another_process_opens_first_is_that_of_the_store(
    make_folder, settings, opened, store, monkeypatch
):
    given, hold = settings(make_folder("root", {"cat": 20, "dog": 20})), type(store).hold

    def hold_by_another(self):
        if not store.dataset_folder().exists():
            with monkeypatch.context() as patched:
                patched.setattr(type(store), "hold", hold)
                opened(given, seed=5)
            raise HeldError("store")
        return hold(self)

    monkeypatch.setattr(type(store), "hold", hold_by_another)
    folds = opened(given, seed=1).folds
    monkeypatch.undo()
    assert np.array_equal(folds, opened(given).folds)
