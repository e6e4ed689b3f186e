import pytest
import torch

from committee.errors import StoreError
from committee.store import tensors


def test_trees_come_back(tmp_path):
    shared = torch.arange(6.0)
    tree = {
        "list": [1, 2.5, "text", None, True, {"deep": torch.tensor(3)}],
        0: {"step": torch.tensor(7.0)},
        "a": shared,
        "view": shared.view(2, 3).t(),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "empty": torch.empty(0, 3),
        "bytes": torch.get_rng_state(),
    }
    tensors.save(tree, tmp_path)
    back = tensors.load(tmp_path)
    assert back["list"][:5] == tree["list"][:5]
    assert back[0]["step"].item() == 7.0
    for key in ("a", "view", "half", "empty", "bytes"):
        assert torch.equal(back[key], tree[key])
        assert back[key].dtype == tree[key].dtype
        assert back[key].stride() == tree[key].stride()


def test_floats_come_back_to_the_last_bit(tmp_path):
    tensors.save([0.1 + 0.2, 1e-310, float("inf")], tmp_path)
    assert tensors.load(tmp_path) == [0.1 + 0.2, 1e-310, float("inf")]


def test_a_fused_optimizer_goes_on_in_its_memory_format(tmp_path):
    def make():
        torch.manual_seed(0)
        net = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return net, torch.optim.AdamW(net.parameters(), fused=True)

    def step(net, optimizer):
        net(torch.ones(2, 3, 5, 5)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    net, optimizer = make()
    step(net, optimizer)
    tensors.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path)
    step(net, optimizer)

    again, resumed = make()
    state = tensors.load(tmp_path)
    again.load_state_dict(state["net"])
    resumed.load_state_dict(state["optimizer"])
    step(again, resumed)
    assert torch.equal(again.weight, net.weight)


def test_what_is_no_tensor_nor_plain_is_refused(tmp_path):
    with pytest.raises(TypeError, match="object cannot be stored"):
        tensors.save({"a": object()}, tmp_path)


def test_a_missing_or_damaged_state_is_named(tmp_path):
    with pytest.raises(StoreError) as caught:
        tensors.load(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'state.safetensors'}: the file does not exist."
    (tmp_path / "state.safetensors").write_bytes(b"")
    with pytest.raises(StoreError, match=r"expected a saved state, got a header of 0 bytes in a file of 0"):
        tensors.load(tmp_path)
