"""The YOLO family: a detector that consists only of convolutions.

Contains tiny_yolo. Imports torch and models.weights.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from models.weights import Samples, build


def tiny_yolo() -> tuple[nn.Module, Samples]:
    """Return tiny_yolo, which detects COCO's 80 classes: (1, 3, 416, 416) to (1, 425, 12, 12).

    Each cell has 5 anchors of 4 + 1 + 80 numbers, the raw output of the last convolution. The pooling of stride 1 has
    no padding, as in ports to Caffe; darknet pads it and keeps 13 x 13 cells.

    Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", 2017; yolov2-tiny.cfg. The network has 16,169,273
    parameters and 6,112 running statistics of BatchNorm: together the 16.18 M that publications quote.
    """
    return build("tiny_yolo", _tiny_yolo_v2, side=416, pixels=(0.0, 1.0), last_gain=1.0)


def _tiny_yolo_v2() -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for i, (width, pool_stride) in enumerate(_WIDTHS_AND_POOL_STRIDES, start=1):
        layers[f"conv{i}"] = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers[f"bn{i}"] = nn.BatchNorm2d(width)
        layers[f"leaky{i}"] = nn.LeakyReLU(0.1, inplace=True)
        if pool_stride:
            layers[f"pool{i}"] = nn.MaxPool2d(2, stride=pool_stride)
        channels = width
    layers["conv9"] = nn.Conv2d(channels, 425, 1)
    return nn.Sequential(layers)


_WIDTHS_AND_POOL_STRIDES = [(16, 2), (32, 2), (64, 2), (128, 2), (256, 2), (512, 1), (1024, 0), (1024, 0)]
