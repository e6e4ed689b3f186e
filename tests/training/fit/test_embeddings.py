import numpy as np
import pytest
import torch

from committee.errors import DataError, TrainingError, UsageError
from committee.models.ensemble import Ensemble
from committee.store.commit import commit
from committee.training.fit import embeddings
from committee.training.fit.embeddings import extract, file_of, one_network, read
from committee.training.fit.start import start_member


@pytest.fixture
def place(making, dataset, store):
    member = start_member(making.make_spec(), dataset, "fold_0").eval()
    folder = store.checkpoint("tiny", "refit")
    with store.hold(), commit(folder, kind="checkpoint", fingerprint="x") as new:
        member.save(new)
    return folder


def test_embeddings_are_what_enters_the_head(place, dataset, cpu, tmp_path):
    extract(
        {"refit": place, "fold_0": place}, dataset, tmp_path / "e", batch_size=50, device=cpu, trusted=True
    )
    files = {path.relative_to(tmp_path / "e").as_posix() for path in (tmp_path / "e").rglob("*.npy")}
    assert files == {f"{at}{split}.npy" for at in ("", "fold_0/") for split in ("train", "val", "test")}
    found = read(tmp_path / "e", "refit", "train", 240)
    assert isinstance(found, np.memmap) and found.shape == (240, 128) and found.dtype == np.float32
    with torch.inference_mode():
        expected = one_network(place, True).embed(dataset.images(dataset.rows("train")[:7])).numpy()
    np.testing.assert_allclose(found[:7], expected, rtol=1e-4, atol=1e-5)


def test_memory_that_runs_out_halves_the_batch(place, dataset, cpu, tmp_path, monkeypatch, caplog):
    real = embeddings.Member.embed

    def hungry(self, images):
        if len(images) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, images)

    monkeypatch.setattr(embeddings.Member, "embed", hungry)
    extract({"refit": place}, dataset, tmp_path / "e", batch_size=64, device=cpu, trusted=True)
    assert "out of memory; continuing with 16 images at a time" in caplog.text
    assert np.isfinite(read(tmp_path / "e", "refit", "val", 40)).all()


def test_embeddings_that_are_no_numbers(place, dataset, cpu, tmp_path, monkeypatch):
    monkeypatch.setattr(
        embeddings.Member, "embed", lambda self, images: torch.full((len(images), 3), torch.nan)
    )
    with pytest.raises(TrainingError, match="expected finite embeddings, got NaN or infinity"):
        extract({"refit": place}, dataset, tmp_path / "e", batch_size=64, device=cpu, trusted=True)


def test_embeddings_of_other_rows_are_refused(tmp_path):
    np.save(file_of(tmp_path, "refit", "train"), np.zeros((5, 3), np.float32))
    with pytest.raises(DataError, match="expected embeddings of 6 rows, got an array"):
        read(tmp_path, "refit", "train", 6)


def test_several_networks_have_no_one_embedding(making, dataset, store):
    folder = store.checkpoint("bag", "refit")
    member = start_member(making.make_spec(), dataset, "fold_0").eval()
    with store.hold(), commit(folder, kind="checkpoint", fingerprint="x") as new:
        Ensemble([member], name="bag").save(new)
    said = "bag: expected a member that is a single network, got Ensemble. Exclude it: add it to"
    with pytest.raises(UsageError, match=said):
        one_network(folder, True)
