"""Vision of today: image embeddings, detection, segmentation, depth and classification.

Contains networks of the published sizes, built from the configurations of transformers, with seeded weights instead of
trained ones. Imports torch, transformers, models.parts and models.weights.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    MobileViTConfig,
    MobileViTForImageClassification,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    YolosConfig,
    YolosForObjectDetection,
)

from models.parts import Answer
from models.weights import PIXELS, Samples, image, seeded


def clip_image() -> tuple[nn.Module, Samples]:
    """Return the image part of CLIP ViT-B/32: (1, 3, 224, 224) to an embedding (1, 512); 87,849,216 parameters.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021; the configuration of
    openai/clip-vit-base-patch32, which is the default of transformers.
    """
    return _of_images("clip_image", CLIPVisionModelWithProjection(CLIPVisionConfig()), 224, "image_embeds")


def yolos_tiny() -> tuple[nn.Module, Samples]:
    """Return a detector: (1, 3, 256, 256) to classes (1, 100, 92) and boxes (1, 100, 4); 6,488,736 parameters.

    Fang et al., "You Only Look at One Sequence", 2021; the configuration of hustvl/yolos-tiny. Its table of positions
    is for images of 800 x 1333; smaller images use an interpolated table.
    """
    sizes: Any = {
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_attention_heads": 3,
        "image_size": [800, 1333],
        "use_mid_position_embeddings": False,
        "num_labels": 91,
    }
    return _of_images("yolos_tiny", YolosForObjectDetection(YolosConfig(**sizes)), 256, "logits", "pred_boxes")


def segformer_b0() -> tuple[nn.Module, Samples]:
    """Return a segmentation into 150 classes: (1, 3, 256, 256) to (1, 150, 64, 64); 3,752,694 parameters.

    Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", 2021; the
    configuration of nvidia/segformer-b0-finetuned-ade-512-512, whose images have twice the side.
    """
    model = SegformerForSemanticSegmentation(SegformerConfig(**_classes(150)))
    return _of_images("segformer_b0", model, 256, "logits")


def depth_anything_small() -> tuple[nn.Module, Samples]:
    """Return an estimate of depth: (1, 3, 252, 252) to (1, 252, 252); 24,785,089 parameters.

    Yang et al., "Depth Anything V2", 2024; the configuration of depth-anything/Depth-Anything-V2-Small-hf. Its images
    have a side of 518; smaller ones use an interpolated table of positions.
    """
    backbone: Any = {
        "hidden_size": 384,
        "num_attention_heads": 6,
        "image_size": 518,
        "patch_size": 14,
        "out_features": ["stage3", "stage6", "stage9", "stage12"],
        "reshape_hidden_states": False,
    }
    config = DepthAnythingConfig(
        backbone_config=Dinov2Config(**backbone),
        reassemble_hidden_size=384,
        neck_hidden_sizes=[48, 96, 192, 384],
        fusion_hidden_size=64,
    )
    return _of_images("depth_anything_small", DepthAnythingForDepthEstimation(config), 252, "predicted_depth")


def mobilevit_small() -> tuple[nn.Module, Samples]:
    """Return a classifier with 1000 classes: (1, 3, 256, 256) to (1, 1000); 5,578,632 parameters.

    Mehta and Rastegari, "MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer", 2022; the
    configuration of apple/mobilevit-small, which is the default of transformers.
    """
    model = MobileViTForImageClassification(MobileViTConfig(**_classes(1000)))
    return _of_images("mobilevit_small", model, 256, "logits")


def _classes(count: int) -> Any:
    return {"num_labels": count}  # the configurations accept it, but their types do not


def _of_images(name: str, model: nn.Module, side: int, *outputs: str) -> tuple[nn.Module, Samples]:
    samples = seeded(name, model, lambda random: (image(side, PIXELS, random),))
    return Answer(model, *outputs), samples
