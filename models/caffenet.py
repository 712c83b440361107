"""The CaffeNet family: Caffe's variant of AlexNet, and the smaller network of Levi and Hassner.

Contains age_net, gender_net, mem_net, scene_net, sos_net and face_net. Imports torch and models.weights.

Layers keep their prototxt names. Pooling rounds sizes up, as Caffe does. Dropout is omitted because it does nothing at
inference.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from models.weights import Samples, build


def age_net() -> tuple[nn.Module, Samples]:
    """Return age_net, which classifies age in 8 classes: (1, 3, 227, 227) to (1, 8).

    Levi and Hassner, "Age and Gender Classification using Convolutional Neural Networks", 2015; deploy_age.prototxt.
    """
    return build("age_net", lambda: _levi_hassner(8), side=227)


def gender_net() -> tuple[nn.Module, Samples]:
    """Return gender_net, which classifies gender in 2 classes: (1, 3, 227, 227) to (1, 2).

    Levi and Hassner, "Age and Gender Classification using Convolutional Neural Networks", 2015; deploy_gender.prototxt.
    """
    return build("gender_net", lambda: _levi_hassner(2), side=227)


def mem_net() -> tuple[nn.Module, Samples]:
    """Return mem_net, which scores how memorable an image is, without bounds: (1, 3, 227, 227) to (1, 1).

    Khosla et al., "Understanding and Predicting Image Memorability at a Large Scale", 2015; MemNet on CaffeNet.
    """
    return build("mem_net", lambda: nn.Sequential(_caffenet(1)), side=227)


def scene_net() -> tuple[nn.Module, Samples]:
    """Return scene_net, which classifies scenes in 205 classes: (1, 3, 227, 227) to (1, 205).

    Zhou et al., "Learning Deep Features for Scene Recognition using Places Database", 2014; Places205-CaffeNet.
    """
    return build("scene_net", lambda: _caffenet_classifier(205), side=227)


def sos_net() -> tuple[nn.Module, Samples]:
    """Return sos_net, which counts salient objects (0, 1, 2, 3, 4 or more): (1, 3, 227, 227) to (1, 5).

    Zhang et al., "Salient Object Subitizing", 2015; its AlexNet.
    """
    return build("sos_net", lambda: _caffenet_classifier(5), side=227)


def face_net() -> tuple[nn.Module, Samples]:
    """Return face_net, which detects faces: (1, 3, 227, 227) to (1, 2, 1, 1), a larger image to a larger map.

    CaffeNet with its fc layers converted to convolutions, as in Caffe's net surgery; bvlc_caffenet_full_conv.prototxt.
    """
    return build("face_net", _fully_convolutional, side=227)


def _levi_hassner(classes: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 96, 7, stride=4),
            relu1=nn.ReLU(inplace=True),
            pool1=_pool(),
            norm1=_norm(),
            conv2=nn.Conv2d(96, 256, 5, padding=2),
            relu2=nn.ReLU(inplace=True),
            pool2=_pool(),
            norm2=_norm(),
            conv3=nn.Conv2d(256, 384, 3, padding=1),
            relu3=nn.ReLU(inplace=True),
            pool5=_pool(),
            flatten=nn.Flatten(),
            fc6=nn.Linear(384 * 7 * 7, 512),
            relu6=nn.ReLU(inplace=True),
            fc7=nn.Linear(512, 512),
            relu7=nn.ReLU(inplace=True),
            fc8=nn.Linear(512, classes),
            prob=nn.Softmax(dim=1),
        )
    )


def _features() -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        conv1=nn.Conv2d(3, 96, 11, stride=4),
        relu1=nn.ReLU(inplace=True),
        pool1=_pool(),
        norm1=_norm(),
        conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2),
        relu2=nn.ReLU(inplace=True),
        pool2=_pool(),
        norm2=_norm(),
        conv3=nn.Conv2d(256, 384, 3, padding=1),
        relu3=nn.ReLU(inplace=True),
        conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2),
        relu4=nn.ReLU(inplace=True),
        conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2),
        relu5=nn.ReLU(inplace=True),
        pool5=_pool(),
    )


def _caffenet(outputs: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        _features(),
        flatten=nn.Flatten(),
        fc6=nn.Linear(256 * 6 * 6, 4096),
        relu6=nn.ReLU(inplace=True),
        fc7=nn.Linear(4096, 4096),
        relu7=nn.ReLU(inplace=True),
        fc8=nn.Linear(4096, outputs),
    )


def _caffenet_classifier(classes: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(_caffenet(classes), prob=nn.Softmax(dim=1)))


def _fully_convolutional() -> nn.Sequential:
    layers = OrderedDict(
        _features(),
        fc6_conv=nn.Conv2d(256, 4096, 6),
        relu6=nn.ReLU(inplace=True),
        fc7_conv=nn.Conv2d(4096, 4096, 1),
        relu7=nn.ReLU(inplace=True),
        fc8_conv=nn.Conv2d(4096, 2, 1),
        prob=nn.Softmax(dim=1),
    )
    return nn.Sequential(layers)


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _norm() -> nn.LocalResponseNorm:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)
