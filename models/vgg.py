"""The VGG family: the "slow" network with five convolutions, and its deep successor with sixteen.

Contains emotion_net (VGG_S) and object_net (VGG-19). Imports torch and models.weights.

Layers keep their prototxt names. Pooling rounds sizes up, as Caffe does. Dropout is omitted because it does nothing at
inference.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from models.weights import Samples, build


def emotion_net() -> tuple[nn.Module, Samples]:
    """Return emotion_net, which classifies the emotion of a face in 7 classes: (1, 3, 224, 224) to (1, 7).

    Levi and Hassner, "Emotion Recognition in the Wild via Convolutional Neural Networks and Mapped Binary Patterns",
    2015; EmotiW_VGG_S. The body is VGG_S of Chatfield et al., "Return of the Devil in the Details", 2014.
    """
    return build("emotion_net", _vgg_s, side=224)


def object_net() -> tuple[nn.Module, Samples]:
    """Return object_net, which classifies ImageNet's 1000 classes: (1, 3, 224, 224) to (1, 1000).

    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, configuration E;
    VGG_ILSVRC_19_layers_deploy.prototxt.
    """
    return build("object_net", _vgg_19, side=224, last_gain=1 / 64)


def _vgg_s() -> nn.Sequential:
    layers = OrderedDict(
        conv1=nn.Conv2d(3, 96, 7, stride=2),
        relu1=nn.ReLU(inplace=True),
        norm1=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75),
        pool1=nn.MaxPool2d(3, stride=3, ceil_mode=True),
        conv2=nn.Conv2d(96, 256, 5),
        relu2=nn.ReLU(inplace=True),
        pool2=nn.MaxPool2d(2, stride=2, ceil_mode=True),
        conv3=nn.Conv2d(256, 512, 3, padding=1),
        relu3=nn.ReLU(inplace=True),
        conv4=nn.Conv2d(512, 512, 3, padding=1),
        relu4=nn.ReLU(inplace=True),
        conv5=nn.Conv2d(512, 512, 3, padding=1),
        relu5=nn.ReLU(inplace=True),
        pool5=nn.MaxPool2d(3, stride=3, ceil_mode=True),
    )
    return nn.Sequential(layers | _classifier(512 * 6 * 6, 7))


def _vgg_19() -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for block, (convs, width) in enumerate([(2, 64), (2, 128), (4, 256), (4, 512), (4, 512)], start=1):
        for i in range(1, convs + 1):
            layers[f"conv{block}_{i}"] = nn.Conv2d(channels, width, 3, padding=1)
            layers[f"relu{block}_{i}"] = nn.ReLU(inplace=True)
            channels = width
        layers[f"pool{block}"] = nn.MaxPool2d(2, stride=2, ceil_mode=True)
    return nn.Sequential(layers | _classifier(512 * 7 * 7, 1000))


def _classifier(features: int, classes: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        flatten=nn.Flatten(),
        fc6=nn.Linear(features, 4096),
        relu6=nn.ReLU(inplace=True),
        fc7=nn.Linear(4096, 4096),
        relu7=nn.ReLU(inplace=True),
        fc8=nn.Linear(4096, classes),
        prob=nn.Softmax(dim=1),
    )
