import pytest

from committee.errors import UnknownNameError, UsageError
from committee.store.commit import NEW, commit


def put(folder, **facts):
    with commit(folder, kind="x", made_from="", **facts) as new:
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


def test_places(store):
    places = [store.checkpoint("m", 3), store.kfold("m"), store.member_metrics("m"), store.catalog,
              store.ensemble_metrics("e"), store.deploy("e"), store.resume("m", "refit")]  # fmt: skip
    assert [place.relative_to(store.root).as_posix() for place in places] == [
        "checkpoints/m/fold_3", "kfold/m", "metrics/m", "ensembles/ensemble_catalog.json",
        "metrics/ensembles/e", "deploy/e", "checkpoints/m/refit.resume",
    ]  # fmt: skip


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


def test_an_empty_store_has_no_names(store):
    assert store.members() == store.ensembles() == ()
    with pytest.raises(UnknownNameError) as caught:
        store.resolve("a")
    assert str(caught.value) == f"{store.root}: expected one of its models (it has none), got 'a'."


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", ".hidden", "ensembles", "CON", "a.", "x" * 101])
def test_names_that_are_no_folders(store, name):
    with pytest.raises(UsageError) as caught:
        store.kfold(name)
    assert str(caught.value) == (
        "name in the store: expected up to 100 letters, digits and . _ + @ = -, none of them reserved, "
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
