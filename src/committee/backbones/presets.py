"""Presets: names for architectures of timm with options.

Each is the smallest variant of its family with published ImageNet weights, or a larger one. Details that
papers do not specify follow timm. Presets start from random weights unless a recipe sets `pretrained`.
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    # ConvNeXt-T (Liu 2022), EfficientNetV2-B0 (Tan, Le 2021), GhostNetV2 1.0x (Tang 2022)
    "CustomConvNeXt": ("convnext_tiny", {}),
    "CustomEfficientNetV4": ("tf_efficientnetv2_b0", {}),
    "CustomGhostNetV2": ("ghostnetv2_100", {}),
    # ResNet-18 (He 2016), Mish (Misra 2019); CSPDarkNet-53 (Bochkovskiy 2020); Inception-v4 (Szegedy 2017)
    "CustomResNetMish": ("resnet18", {"act_layer": "mish"}),
    "CustomCSPDarkNet": ("cspdarknet53", {}),
    "CustomInceptionV4": ("inception_v4", {}),
    # R+Ti/16 (Steiner 2021), Swin-T (Liu 2021), CoAtNet-0 (Dai 2021), RegNetX-200MF (Radosavovic 2020)
    "CustomViTHybrid": ("vit_tiny_r_s16_p8_224", {}),
    "CustomSwinTransformer": ("swin_tiny_patch4_window7_224", {}),
    "CustomCoAtNet": ("coatnet_0_rw_224", {}),
    "CustomRegNet": ("regnetx_002", {}),
    # DenseNet-121 (Huang 2017), DeiT-Ti (Touvron 2021), MaxViT-T (Tu 2022), MobileOne-S0 (Vasu 2023)
    "CustomDenseNetHybrid": ("densenet121", {}),
    "CustomDeiTStyle": ("deit_tiny_patch16_224", {}),
    "CustomMaxViT": ("maxvit_tiny_tf_224", {}),
    "CustomMobileOne": ("mobileone_s0", {}),
    # EfficientNet-B0 with CondConv (Yang 2019): four experts per convolution, mixed for each image
    "CustomDynamicConvNet": ("tf_efficientnet_cc_b0_4e", {}),
}

MAP_PRESETS: dict[str, str] = {"CustomResidualDeconv": "own:residual_deconv"}
"""Presets of networks that return maps, which are our own."""
