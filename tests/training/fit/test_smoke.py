import pytest
import torch

from committee.errors import TrainingError
from committee.training.fit.smoke import smoke


def test_a_sound_backbone_passes(making, dataset, cpu):
    smoke(making.make_spec(), dataset, cpu)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_in_every_number_format_of_a_cpu(making, dataset, cpu, precision):
    smoke(making.make_spec(f"training.precision={precision}"), dataset, cpu)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16"])
def test_on_a_gpu(making, dataset, precision):
    smoke(making.make_spec(f"training.precision={precision}"), dataset, torch.device("cuda", 0))


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        (
            "wrong_shape",
            "wrong_shape: expected logits of shape [32, 10], got [32, 11]. "
            "Check the backbone: its last layer must have one output per class.",
        ),
        (
            "exploding",
            "exploding: expected a finite loss on the first batch, got nan. "
            "Try --set training.precision=fp32, or another backbone.",
        ),
        (
            "detached",
            "detached: expected a gradient for at least one weight, got none. "
            "Check that the backbone does not detach its output.",
        ),
    ],
)
def test_what_cannot_learn_is_refused_at_once(making, dataset, cpu, net, sentence):
    spec = making.make_spec(f"models=[{{name: 'python:tiny_nets:{net}', as: {net}}}]", net=net)
    with pytest.raises(TrainingError) as caught:
        smoke(spec, dataset, cpu)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        (
            "timm:test_convnext",
            "Calculated padded input size per channel: (1 x 1). Kernel size: (2 x 2). "
            "Kernel size can't be greater than actual input size",
        ),
        ("timm:test_vit", "Input height (8) should be divisible by patch size (16)"),
    ],
)
def test_images_too_small_for_a_backbone(making, dataset, cpu, backbone, reason):
    with pytest.raises(TrainingError) as caught:
        smoke(making.make_spec(f"backbones.include=[{backbone}]"), dataset, cpu)
    assert str(caught.value) == (
        f"{backbone}: expected a network that accepts images of 8 pixels, got {reason}. "
        "Use another dataset.img_size."
    )
