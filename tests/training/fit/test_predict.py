import numpy as np
import torch
from torch import nn

from committee.training.fit.predict import logits_of
from committee.training.fit.start import start_member


def test_batches_do_not_matter_and_the_module_comes_back_as_it_was(making, dataset, cpu):
    member = start_member(making.make_spec(), dataset, "fold_0").train()
    rows = dataset.rows("test")[::-1].copy()
    whole = logits_of(member, dataset, rows, batch_size=1000, device=cpu)
    parts = logits_of(member, dataset, rows, batch_size=7, device=cpu)
    assert whole.dtype == np.float32 and whole.shape == (80, 10)
    np.testing.assert_allclose(whole, parts, atol=1e-6)
    assert member.training
    with torch.inference_mode():
        direct = member.eval()(dataset.images(rows)).numpy()
    np.testing.assert_allclose(whole, direct, atol=1e-6)


def test_no_rows_are_no_logits(making, dataset, cpu):
    member = start_member(making.make_spec(), dataset, "fold_0")
    assert logits_of(member, dataset, np.empty(0, np.int64), batch_size=8, device=cpu).shape == (0, 10)


def test_a_module_without_weights_predicts(dataset, cpu):
    class Mean(nn.Module):
        def forward(self, images):
            return images.float().mean((1, 2, 3))[:, None].expand(-1, 10)

    assert logits_of(Mean(), dataset, dataset.rows("val"), batch_size=8, device=cpu).shape == (40, 10)


def test_where_memory_is_short_fewer_go_at_once(making, dataset, cpu, monkeypatch, caplog):
    spec = making.make_spec("backbones.include=['python:hostile_nets:hungry']")
    member, rows = start_member(spec, dataset, "fold_0"), dataset.rows("test")
    whole = logits_of(member, dataset, rows, batch_size=1000, device=cpu)
    monkeypatch.setenv("MOST_IMAGES", "30")
    np.testing.assert_allclose(
        whole, logits_of(member, dataset, rows, batch_size=1000, device=cpu), atol=1e-6
    )
    assert caplog.messages == [
        f"hostile_nets_hungry: out of memory; continuing with {size} images at a time" for size in (40, 20)
    ]
