"""The study's mixes: which networks are asked together, about how many images, and on what condition.

Here lives what EdgeCaffe could be asked to run, by name. Random mixes take the number of arrivals and a seed; the same
seed gives the same mix. When batches come is the caller's: `mix.closed()`, `mix.arriving(...)`, or all at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from models import NETWORKS
from pytest_edgeload import Ask, Condition, Mix

PERSON_SEEN = 2.6
"""How sure tiny_yolo has to be (its second anchor's objectness, before the sigmoid) that somebody is in the image."""

FACE_FOUND = 0.8
"""How probable a face has to be. Both separate the samples that the networks come with: their weights are made."""

ALWAYS, SOMETIMES = "tiny_yolo", ("age_net", "gender_net", "face_net", "scene_net")
"""What a quadcopter runs on every image, and what besides on one in four."""

ALONE = 0.75
"""The probability that a quadcopter runs the first alone."""

ANOTHER = 0.5
"""The probability that one more network joins a random composition."""


def run_pipeline(images: int = 3) -> Mix:
    """Return the main experiment: five networks asked about three images, fifteen inferences."""
    return Mix.of("run-pipeline", ["sos_net", "sos_googlenet", "age_net", "gender_net", "face_net"], images=images)


def small_3(images: int = 1) -> Mix:
    """Return three networks of which the largest has 227 MB."""
    return Mix.of("small-3", ["gender_net", "face_net", "age_net"], images=images)


def mixed_3(images: int = 1) -> Mix:
    """Return a small, a medium and a large network."""
    return Mix.of("mixed-3", ["face_net", "age_net", "emotion_net"], images=images)


def large_3(images: int = 1) -> Mix:
    """Return the three networks with 1.2 GB of weights between them."""
    return Mix.of("large-3", ["object_net", "emotion_net", "mem_net"], images=images)


def lifelogging(images: int = 1) -> Mix:
    """Return what a camera worn all day runs."""
    return Mix.of("lifelogging", ["emotion_net", "mem_net", "tiny_yolo", "scene_net", "sos_net"], images=images)


def all_networks(images: int = 1) -> Mix:
    """Return all networks but GoogLeNet, once each."""
    return Mix.of("all-networks", [name for name in NETWORKS if name != "sos_googlenet"], images=images)


def quadcopter(images: int = 8, seed: int = 0) -> Mix:
    """Return tiny_yolo on every image, and now and then four networks more."""
    source = _source(seed)
    extra = [() if source.random() < ALONE else SOMETIMES for _ in range(images)]
    return _batches("quadcopter", [(ALWAYS, *more) for more in extra], seed)


def all_random(images: int = 8, seed: int = 0) -> Mix:
    """Return one network for each image, any as likely as any other."""
    source = _source(seed)
    return _batches("all-random", [(source.choice(list(NETWORKS)),) for _ in range(images)], seed)


def random_composition(images: int = 4, seed: int = 0) -> Mix:
    """Return a geometric number of different networks for each image."""
    source = _source(seed)

    def composition() -> Sequence[str]:
        count = 1
        while count < len(NETWORKS) and source.random() < ANOTHER:
            count += 1
        return source.sample(list(NETWORKS), count)

    return _batches("random-composition", [composition() for _ in range(images)], seed)


def fga(images: int = 3) -> Mix:
    """Return gender and age, asked where face_net finds a face."""
    return _context("FGA", images, lambda first: (Ask("face_net"), *_about_faces(["gender_net", "age_net"], first)))


def yfgae(images: int = 3) -> Mix:
    """Return face_net, asked where tiny_yolo sees somebody, and gender, age and emotion where that finds a face."""

    def asks(first: int) -> tuple[Ask, ...]:
        seen = Condition(first, PERSON_SEEN, at=(0, 89))
        about = _about_faces(["gender_net", "age_net", "emotion_net"], first + 1)
        return (Ask("tiny_yolo"), Ask("face_net", when=seen), *about)

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


def _source(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  # nothing here is secret


def _batches(name: str, batches: Iterable[Sequence[str]], seed: int) -> Mix:
    asks = tuple(Ask(network, sample=b, batch=b) for b, networks in enumerate(batches) for network in networks)
    return Mix(name, asks, seed=seed)


def _about_faces(networks: Sequence[str], face: int) -> list[Ask]:
    """Return requests on the condition that request `face`, one of face_net, found a face."""
    return [Ask(network, when=Condition(face, FACE_FOUND, at=(0, 0))) for network in networks]


def _context(name: str, images: int, asks: Callable[[int], Sequence[Ask]]) -> Mix:
    """Return a mix of what `asks` asks about each image, given the index of the image's first request."""
    found: list[Ask] = []
    for image in range(images):
        found += [_about(ask, image) for ask in asks(len(found))]
    return Mix(name, tuple(found))


def _about(ask: Ask, image: int) -> Ask:
    return Ask(ask.network, sample=image, batch=image, when=ask.when)
