"""The study's mixes ask what the study asked."""

from __future__ import annotations

from collections import Counter

import pytest

from models import NETWORKS
from models.mixes import ALWAYS, MIXES, SOMETIMES, all_random, fga, quadcopter, random_composition, run_pipeline, yfgae
from pytest_edgeload import Mix

NETWORKS_OF = {
    "run-pipeline": {"sos_net", "sos_googlenet", "age_net", "gender_net", "face_net"},
    "small-3": {"gender_net", "face_net", "age_net"},
    "mixed-3": {"face_net", "age_net", "emotion_net"},
    "large-3": {"object_net", "emotion_net", "mem_net"},
    "lifelogging": {"emotion_net", "mem_net", "tiny_yolo", "scene_net", "sos_net"},
    "all-networks": set(NETWORKS) - {"sos_googlenet"},
    "FGA": {"face_net", "gender_net", "age_net"},
    "YFGAE": {"tiny_yolo", "face_net", "gender_net", "age_net", "emotion_net"},
}
"""By name, from the study's description of its mixes."""


def _batches(mix: Mix) -> list[list[str]]:
    return [
        [ask.network for ask in mix.asks if ask.batch == batch] for batch in sorted({ask.batch for ask in mix.asks})
    ]


@pytest.mark.parametrize("name", MIXES)
def test_each_mix(name: str) -> None:
    """A mix is called what the table calls it, asks registered networks only, and asks about each image once."""
    mix = MIXES[name]()
    assert mix.name == name
    assert set(mix.networks) == NETWORKS_OF.get(name, set(mix.networks))
    assert set(mix.networks) <= set(NETWORKS)
    assert all(len(set(batch)) == len(batch) for batch in _batches(mix))
    assert all(ask.sample == ask.batch for ask in mix.asks)


def test_the_main_experiment() -> None:
    """run-pipeline is fifteen inferences."""
    assert len(run_pipeline().asks) == 15


@pytest.mark.parametrize("make", [quadcopter, all_random, random_composition])
def test_random_mixes(make: object) -> None:
    """A random mix is the same for the same seed, another for another, and says its seed."""
    assert callable(make)
    assert make(images=20, seed=3) == make(images=20, seed=3) != make(images=20, seed=4)
    assert make(seed=3).seed == 3


def test_quadcopter() -> None:
    """Three images in four get tiny_yolo alone, the others all five networks."""
    found = Counter(tuple(batch) for batch in _batches(quadcopter(images=2000, seed=0)))
    assert set(found) == {(ALWAYS,), (ALWAYS, *SOMETIMES)}
    assert found[(ALWAYS,)] / 2000 == pytest.approx(0.75, abs=0.03)


def test_random_composition() -> None:
    """The number of networks is geometric: half of the images get one, a quarter two."""
    counts = Counter(len(batch) for batch in _batches(random_composition(images=2000, seed=0)))
    assert counts[1] / 2000 == pytest.approx(0.5, abs=0.04)
    assert counts[2] / 2000 == pytest.approx(0.25, abs=0.04)


def test_all_random() -> None:
    """Each image gets one network, each network its share of the images."""
    mix = all_random(images=2000, seed=0)
    assert all(len(batch) == 1 for batch in _batches(mix))
    counts = Counter(ask.network for ask in mix.asks)
    assert all(counts[name] / 2000 == pytest.approx(0.1, abs=0.03) for name in NETWORKS)


def test_fga() -> None:
    """Gender and age wait for the face of the same image."""
    for r, ask in enumerate(fga(images=2).asks):
        parent = None if ask.when is None else ask.when.request
        assert parent == (None if ask.network == "face_net" else r - r % 3)


def test_yfgae() -> None:
    """The face waits for the person, and what is asked about a face for the face."""
    for r, ask in enumerate(yfgae(images=2).asks):
        first = r - r % 5
        parents = {"tiny_yolo": None, "face_net": first}
        assert (None if ask.when is None else ask.when.request) == parents.get(ask.network, first + 1)
