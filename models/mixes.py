"""The mixes of the 2020 study: which networks run together, on how many images, and under which conditions.

Contains the mixes that EdgeCaffe could run, by name. A random mix takes a number of images and a seed; the same seed
gives the same mix. The caller decides when requests arrive: `mix.closed()`, `mix.arriving(...)`, or all at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from models import NETWORKS
from pytest_edgeload import Ask, Condition, Mix

MIN_PERSON = 2.6
"""Condition for a person in the image: the objectness of tiny_yolo's second anchor, before the sigmoid."""

MIN_FACE = 0.8
"""Condition for a face in the image: the probability from face_net.

The weights are random, so both thresholds are chosen to divide the samples of the networks.
"""

ALWAYS, SOMETIMES = "tiny_yolo", ("age_net", "gender_net", "face_net", "scene_net")
"""The network that a quadcopter runs on every image, and the additional ones for some images."""

P_ALONE = 0.75
"""The probability that a quadcopter runs only the first network on an image."""

P_ANOTHER = 0.5
"""The probability that one more network joins a random composition."""


def run_pipeline(images: int = 3) -> Mix:
    """Return the main experiment: five networks analyze each image; fifteen inferences for three images."""
    return Mix.of("run-pipeline", ["sos_net", "sos_googlenet", "age_net", "gender_net", "face_net"], images=images)


def small_3(images: int = 1) -> Mix:
    """Return three networks; the largest has 227 MB of weights."""
    return Mix.of("small-3", ["gender_net", "face_net", "age_net"], images=images)


def mixed_3(images: int = 1) -> Mix:
    """Return a small, a medium and a large network."""
    return Mix.of("mixed-3", ["face_net", "age_net", "emotion_net"], images=images)


def large_3(images: int = 1) -> Mix:
    """Return three large networks with 1.2 GB of weights in total."""
    return Mix.of("large-3", ["object_net", "emotion_net", "mem_net"], images=images)


def lifelogging(images: int = 1) -> Mix:
    """Return the networks of a camera that is worn all day."""
    return Mix.of("lifelogging", ["emotion_net", "mem_net", "tiny_yolo", "scene_net", "sos_net"], images=images)


def all_networks(images: int = 1) -> Mix:
    """Return all networks except GoogLeNet, once each."""
    return Mix.of("all-networks", [name for name in NETWORKS if name != "sos_googlenet"], images=images)


def quadcopter(images: int = 8, seed: int = 0) -> Mix:
    """Return tiny_yolo on every image, and four more networks on some images."""
    source = _source(seed)
    extra = [() if source.random() < P_ALONE else SOMETIMES for _ in range(images)]
    return _batches("quadcopter", [(ALWAYS, *more) for more in extra], seed)


def all_random(images: int = 8, seed: int = 0) -> Mix:
    """Return one network per image, chosen uniformly."""
    source = _source(seed)
    return _batches("all-random", [(source.choice(list(NETWORKS)),) for _ in range(images)], seed)


def random_composition(images: int = 4, seed: int = 0) -> Mix:
    """Return a geometrically distributed number of different networks per image."""
    source = _source(seed)

    def composition() -> Sequence[str]:
        count = 1
        while count < len(NETWORKS) and source.random() < P_ANOTHER:
            count += 1
        return source.sample(list(NETWORKS), count)

    return _batches("random-composition", [composition() for _ in range(images)], seed)


def fga(images: int = 3) -> Mix:
    """Return face_net, and gender_net and age_net if it finds a face."""
    return _context("FGA", images, lambda first: (Ask("face_net"), *_if_face(["gender_net", "age_net"], first)))


def yfgae(images: int = 3) -> Mix:
    """Return tiny_yolo, face_net if that finds a person, and gender, age and emotion if face_net finds a face."""

    def asks(first: int) -> tuple[Ask, ...]:
        is_person = Condition(first, MIN_PERSON, at=(0, 89))
        dependent = _if_face(["gender_net", "age_net", "emotion_net"], first + 1)
        return (Ask("tiny_yolo"), Ask("face_net", when=is_person), *dependent)

    return _context("YFGAE", images, asks)


MIXES: Mapping[str, Callable[[], Mix]] = {
    "run-pipeline": run_pipeline,
    "small-3": small_3,
    "mixed-3": mixed_3,
    "large-3": large_3,
    "lifelogging": lifelogging,
    "all-networks": all_networks,
    "quadcopter": quadcopter,
    "all-random": all_random,
    "random-composition": random_composition,
    "FGA": fga,
    "YFGAE": yfgae,
}
"""All mixes by name."""


def _source(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  # not for cryptography


def _batches(name: str, batches: Iterable[Sequence[str]], seed: int) -> Mix:
    asks = tuple(Ask(network, sample=b, batch=b) for b, networks in enumerate(batches) for network in networks)
    return Mix(name, asks, seed=seed)


def _if_face(networks: Sequence[str], face: int) -> list[Ask]:
    """Return requests that run if request `face`, a request of face_net, finds a face."""
    return [Ask(network, when=Condition(face, MIN_FACE, at=(0, 0))) for network in networks]


def _context(name: str, images: int, asks: Callable[[int], Sequence[Ask]]) -> Mix:
    """Return a mix; `asks` returns the requests about one image, given the index of the first of them."""
    requests: list[Ask] = []
    for image in range(images):
        requests += [_about(ask, image) for ask in asks(len(requests))]
    return Mix(name, tuple(requests))


def _about(ask: Ask, image: int) -> Ask:
    return Ask(ask.network, sample=image, batch=image, when=ask.when)
