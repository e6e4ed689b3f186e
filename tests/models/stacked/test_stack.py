"""Networks as one return, learn and remember what they do one after the other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from committee.errors import DataError
from committee.models.stacked import NotStackable, Stack, groups

IMAGES = (4, 2, 6, 6)


class Patches(nn.Module):
    """Attention over patches, with parameters of its own, as in a vision transformer."""

    def __init__(self):
        super().__init__()
        self.cut, self.norm = nn.Conv2d(2, 8, 3, 3), nn.LayerNorm(8)
        self.first, self.places = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))
        self.scale, self.qkv, self.head = nn.Parameter(torch.rand(8)), nn.Linear(8, 24), nn.Linear(8, 3)

    def forward(self, x):
        x = self.cut(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], dim=1) + self.places
        query, key, value = (
            self.qkv(self.norm(x)).reshape(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        )
        found = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(x.shape)
        keep = x.new_empty(x.shape[0], 1, 1).bernoulli_(0.7) if self.training else 1.0
        return self.head((x + keep * self.scale * found)[:, 0])


class Odd(nn.Module):
    """Operations without a rule: an in-place one, one that vmap lacks, and random numbers of a function."""

    def __init__(self):
        super().__init__()
        self.body = parametrizations.weight_norm(nn.Linear(72, 6))
        self.again = parametrizations.spectral_norm(nn.Linear(6, 6))
        self.again_tied = nn.Linear(6, 6)
        self.again_tied.weight = self.head = nn.Parameter(torch.randn(6, 6))
        self.frozen = nn.Parameter(torch.randn(6), requires_grad=False)

    def forward(self, x):
        x = self.again(self.body(x.flatten(1)))
        y = x * self.frozen
        y[:, 0] += 1
        y.mul_(2).clamp_(-3)
        if self.training:
            y = functional.rrelu(functional.alpha_dropout(y, 0.2, True), training=True)
        return torch.cumprod((self.again_tied(y) @ self.head).tanh(), dim=1) + torch.einsum(
            "bi,ij->bj", y, self.head
        )


KINDS = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(72, 9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, 3, bias=False)
    ),
    "cnn": lambda: nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 6, 3, padding="same", groups=3),
        nn.GroupNorm(2, 6),
        nn.GELU(),
        nn.Dropout2d(0.3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
        nn.BatchNorm1d(4),
        nn.Softmax(1),
    ),
    "odd": Odd,
    "patches": Patches,
}


def built(kind, count=3, training=True, dtype=torch.float32):
    torch.manual_seed(0)
    return [KINDS[kind]().to(dtype).train(training) for _ in range(count)]


def alone(nets, inputs):
    """Outputs, gradients and buffers of the networks, one after the other."""
    found = []
    for seed, (net, x) in enumerate(zip(nets, inputs, strict=True)):
        torch.manual_seed(seed)
        net.zero_grad()
        out = net(x)
        out.square().mean().backward()
        found.append(
            ([out.detach()], [p.grad for p in net.parameters() if p.requires_grad], [*net.buffers()])
        )
    return found


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_as_one_and_one_after_the_other_are_equal(kind, training):
    x = torch.randn(3, *IMAGES)
    expected = alone(built(kind, training=training), x)
    nets = built(kind, training=training)
    stack = Stack(nets, x[0])
    stack.generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    outputs = stack(x, shared=False)
    outputs.square().mean(dim=(1, 2)).sum().backward()
    stack.link_gradients()
    for net, out, wanted in zip(nets, outputs, expected, strict=True):
        found = [out], [p.grad for p in net.parameters() if p.requires_grad], [*net.buffers()]
        for ours, theirs, limit in zip(found, wanted, (1e-6, 1e-5, 1e-6), strict=True):
            torch.testing.assert_close(list(ours), list(theirs), rtol=limit, atol=limit)


layers = st.one_of(
    st.builds(lambda width: ("linear", width), st.integers(1, 5)),
    st.sampled_from([("tanh",), ("batch_norm",), ("layer_norm",), ("dropout",), ("gelu",)]),
)


def drawn_network(description, width):
    made = []
    for kind, *rest in description:
        if kind == "linear":
            made.append(nn.Linear(width, width := rest[0]))
        else:
            make = {"tanh": nn.Tanh, "gelu": nn.GELU, "dropout": nn.Dropout}.get(kind)
            made.append(
                make() if make else nn.BatchNorm1d(width) if kind == "batch_norm" else nn.LayerNorm(width)
            )
    return nn.Sequential(nn.Linear(3, 3), *made, nn.Linear(width, 2))


@settings(max_examples=25)
@given(st.lists(layers, max_size=5), st.integers(1, 3), st.integers(2, 4), st.booleans(), st.booleans())
def test_random_networks(description, count, batch, training, shared):
    def nets():
        torch.manual_seed(1)
        return [drawn_network(description, 3).double().train(training) for _ in range(count)]

    x = (
        torch.randn(batch, 3, dtype=torch.float64)
        if shared
        else torch.randn(count, batch, 3, dtype=torch.float64)
    )
    expected = alone(nets(), x.expand(count, batch, 3))
    stack = Stack(own := nets(), torch.randn(batch, 3, dtype=torch.float64))
    stack.generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    outputs = stack(x, shared=shared)
    stack.link_gradients()
    outputs.square().mean(dim=(1, 2)).sum().backward()
    for net, out, (outs, gradients, buffers) in zip(own, outputs, expected, strict=True):
        torch.testing.assert_close(out, outs[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close([p.grad for p in net.parameters()], gradients, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close([*net.buffers()], buffers)


def memories(nets):
    return len({p.untyped_storage().data_ptr() for net in nets for p in net.parameters()})


def test_the_networks_keep_their_tensors_as_views_until_they_get_their_own_memory():
    nets = built("cnn", training=False)
    before = [id(each) for net in nets for each in net.state_dict(keep_vars=True).values()]
    with Stack(nets, torch.randn(IMAGES)) as stack:
        assert [id(each) for net in nets for each in net.state_dict(keep_vars=True).values()] == before
        assert memories(nets) == len(list(stack.parameters())) == len(list(nets[0].parameters()))
        nets[1].load_state_dict(nets[2].state_dict())
        with torch.no_grad():
            first, second, third = stack(torch.ones(IMAGES), shared=True)
        assert torch.equal(second, third) and not torch.equal(first, second)
        optimizer = torch.optim.SGD(nets[0].parameters(), lr=1.0)
        stack.link_gradients()
        stack(torch.ones(IMAGES), shared=True)[0, :, 0].sum().backward()
        optimizer.step()
        stack.zero_grad()
        assert all(p.grad.count_nonzero() == 0 for net in nets for p in net.parameters())
        with torch.no_grad():
            changed = stack(torch.ones(IMAGES), shared=True)
        assert torch.equal(changed[1], second) and not torch.equal(changed[0], first)
    assert memories(nets) == 3 * len(list(nets[0].parameters()))
    torch.testing.assert_close(nets[0](torch.ones(IMAGES)), changed[0])


class Reads(nn.Linear):
    def forward(self, x):
        return super().forward(x) if self.weight.sum() > 1e9 else x @ self.weight.T


class Catches(nn.Linear):
    def forward(self, x):
        try:
            return -super().forward(x) if float(x.sum()) < 0 else super().forward(x)
        except Exception:
            return super().forward(x)


class Counts(nn.Linear):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls


class Selects(nn.Linear):
    def forward(self, x):
        found = super().forward(x)
        return found[found > 0]


class Mixes(nn.Linear):
    """Adds to what it was given, which all networks share."""

    def forward(self, x):
        return x.sub_(self.bias) @ self.weight.T


class Finds(nn.Linear):
    def forward(self, x):
        return super().forward(x)[torch.where(self.bias > -1)[0]]


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        return gradient @ weight, gradient.transpose(-1, -2) @ x


class OwnBackward(nn.Linear):
    """Its backward pass does not know of other networks."""

    def forward(self, x):
        return Doubled.apply(x, self.weight) + self.bias


class Pair(nn.Linear):
    def forward(self, x):
        return x, x


def linears(make=nn.Linear, count=2):
    return [make(3, 3) for _ in range(count)]


def hooked():
    nets = linears()
    nets[1].register_forward_hook(lambda *_: None)
    return nets


def checkpointing():
    nets = linears()
    for net in nets:
        net.grad_checkpointing = True
    return nets


def sharing():
    nets = linears()
    nets[1].bias = nets[0].bias
    return nets


def in_two_modes():
    return [nn.Linear(3, 3), nn.Linear(3, 3).eval()]


def of_sequence(*layers):
    return nn.Sequential(*layers)


REFUSED = {
    "depends on the values of a tensor (`if` or `while`, test_stack.py:": lambda: linears(Reads),
    "depends on the values of a tensor (float, test_stack.py:": lambda: linears(Catches),
    "returns something else each time it runs, as with a counter": lambda: linears(Counts),
    "return outputs of different shapes for one example, [": lambda: linears(Selects),
    "writes what differs into a tensor of all (sub_)": lambda: linears(Mixes),
    "networks that return tuple instead of a tensor": lambda: linears(Pair),
    "a hook of layer 'Linear', which": hooked,
    "(gradient checkpointing)": checkpointing,
    "gradients of all at once that differ by": lambda: linears(OwnBackward),
    "depends on the values of a tensor (where, test_stack.py:": lambda: linears(Finds),
    "share parameters or buffers with each other": sharing,
    "the mode (training or evaluation) of the network differs": in_two_modes,
    "'weight' of the network differs": lambda: [nn.Linear(3, 3), nn.Linear(3, 2)],
    "'weight' of layer '0' differs": lambda: [of_sequence(nn.Linear(3, each)) for each in (3, 2)],
    "the attribute 'p' of the network differs": lambda: [nn.Dropout(0.1), nn.Dropout(0.2)],
    "the class of the network differs": lambda: [nn.ReLU(), nn.Tanh()],
    "only one of them has the layer '1'": lambda: [of_sequence(nn.ReLU()), of_sequence(nn.ReLU(), nn.ReLU())],
    "do not take an example [4, 3]: ": lambda: [nn.Linear(2, 3), nn.Linear(2, 3)],
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_run_as_one_is_refused_by_name(reason):
    nets = REFUSED[reason]()
    with pytest.raises(NotStackable) as error:
        Stack(nets, torch.ones(4, 3))
    assert str(error.value).startswith("networks that run as one: got ") and reason in str(error.value)
    assert all(p.untyped_storage().nbytes() == p.nbytes for net in nets for p in net.parameters())


@pytest.mark.parametrize(
    ("nets", "rows", "text"),
    [
        ([], 4, "stack: expected at least one network, got none."),
        (linears(), 0, "stack: example: expected at least one row, got none."),
    ],
)
def test_a_stack_of_nothing_is_refused(nets, rows, text):
    with pytest.raises(DataError, match=f"^{text}$"):
        Stack(nets, torch.ones(rows, 3))


def test_a_lack_of_memory_is_said_with_the_size(monkeypatch):
    nets, empty = [nn.Linear(500, 500) for _ in range(2)], torch.empty

    def full(*sizes, **options):
        if sizes == (2, 500, 500):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return empty(*sizes, **options)

    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(NotStackable, match=r"got no free memory for a tensor of 2\.0 MB\."):
        Stack(nets, torch.ones(4, 500))


def with_attribute(value):
    net = nn.Linear(3, 3)
    net.kept = value
    return net


def test_networks_are_grouped_by_architecture():
    arrays = [with_attribute(torch.arange(end).numpy()) for end in (3, 3, 4)]
    assert groups(arrays) == [[0, 1], [2]]
    assert groups([nn.LSTM(3, 3), nn.LSTM(3, 3)]) == [[0], [1]]  # They hold weak references to weights.
    loops = [with_attribute(value) for value in ([], [])]
    for net in loops:
        net.kept.append(net.kept)
    assert groups(loops) == [[0], [1]]
    nets = [*built("mlp", 2), *built("odd", 1), *built("mlp", 1), *built("mlp", 1, dtype=torch.float64)]
    assert groups(nets) == [[0, 1, 3], [2], [4]]
