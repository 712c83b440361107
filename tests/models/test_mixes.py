"""The mixes equal those of the 2020 study."""

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
"""The networks of each mix, from the study's description."""


def _batches(mix: Mix) -> list[list[str]]:
    return [
        [ask.network for ask in mix.asks if ask.batch == batch] for batch in sorted({ask.batch for ask in mix.asks})
    ]


@pytest.mark.parametrize("name", MIXES)
def test_mixes_have_their_names_and_networks(name: str) -> None:
    """A mix has the name of its table entry, uses registered networks only, and asks each at most once per image."""
    mix = MIXES[name]()
    assert mix.name == name
    assert set(mix.networks) == NETWORKS_OF.get(name, set(mix.networks))
    assert set(mix.networks) <= set(NETWORKS)
    assert all(len(set(batch)) == len(batch) for batch in _batches(mix))
    assert all(ask.sample == ask.batch for ask in mix.asks)


def test_main_experiment_is_fifteen_inferences() -> None:
    """run-pipeline is fifteen inferences."""
    assert len(run_pipeline().asks) == 15


@pytest.mark.parametrize("make", [quadcopter, all_random, random_composition])
def test_random_mixes_depend_on_their_seed(make: object) -> None:
    """A random mix is the same for the same seed, different for another, and contains its seed."""
    assert callable(make)
    assert make(images=20, seed=3) == make(images=20, seed=3) != make(images=20, seed=4)
    assert make(seed=3).seed == 3


def test_quadcopter_runs_all_networks_on_a_quarter_of_images() -> None:
    """Three images in four get tiny_yolo alone, the others all five networks."""
    counts = Counter(tuple(batch) for batch in _batches(quadcopter(images=2000, seed=0)))
    assert set(counts) == {(ALWAYS,), (ALWAYS, *SOMETIMES)}
    assert counts[(ALWAYS,)] / 2000 == pytest.approx(0.75, abs=0.03)


def test_random_composition_is_geometric() -> None:
    """The number of networks is geometric: half of the images get one, a quarter two."""
    counts = Counter(len(batch) for batch in _batches(random_composition(images=2000, seed=0)))
    assert counts[1] / 2000 == pytest.approx(0.5, abs=0.04)
    assert counts[2] / 2000 == pytest.approx(0.25, abs=0.04)


def test_all_random_is_uniform() -> None:
    """Each image gets one network, and each network the same share of images."""
    mix = all_random(images=2000, seed=0)
    assert all(len(batch) == 1 for batch in _batches(mix))
    counts = Counter(ask.network for ask in mix.asks)
    assert all(counts[name] / 2000 == pytest.approx(0.1, abs=0.03) for name in NETWORKS)


def test_fga_conditions_are_about_the_same_image() -> None:
    """Gender and age have a condition on the face of the same image."""
    for r, ask in enumerate(fga(images=2).asks):
        parent = None if ask.when is None else ask.when.request
        assert parent == (None if ask.network == "face_net" else r - r % 3)


def test_yfgae_conditions_form_a_chain() -> None:
    """The face has a condition on the person, and the requests about a face on the face."""
    for r, ask in enumerate(yfgae(images=2).asks):
        first = r - r % 5
        parents = {"tiny_yolo": None, "face_net": first}
        assert (None if ask.when is None else ask.when.request) == parents.get(ask.network, first + 1)
