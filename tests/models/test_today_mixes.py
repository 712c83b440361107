"""The mixes of today have the rates and triggers of their sources."""

from __future__ import annotations

from collections import Counter

import pytest

from models import DECODERS, NETWORKS, SPEECH, TODAY
from models.today import CAMERA_SCALE, KEYWORDS_PER_S, TODAY_MIXES, ar_assistant, ar_gaming, photo_server, social
from pytest_edgeload import Mix

LONG_S = 2000.0


def _rates(mix: Mix) -> dict[str, float]:
    """Return the requests per second of each stream."""
    return {stream: count / LONG_S for stream, count in Counter(ask.stream for ask in mix.asks).items()}


@pytest.mark.parametrize("name", TODAY_MIXES)
def test_mixes_have_their_names_and_registered_networks(name: str) -> None:
    """A mix has the name of its table entry, all of its streams have requests, and each has a deadline."""
    mix = TODAY_MIXES[name]()
    assert mix.name == name
    assert set(mix.networks) <= set(NETWORKS | DECODERS | SPEECH | TODAY)
    assert mix == TODAY_MIXES[name]()
    assert all(ask.stream and ask.deadline_s for ask in mix.asks)
    for ask in mix.asks:
        assert ask.after is None or mix.asks[ask.after].arrival_s == ask.arrival_s
    assert len({ask.stream for ask in mix.asks}) == len(
        {ask.stream for ask in TODAY_MIXES[name](duration_s=200.0).asks}
    )


def test_cameras_and_keywords_have_the_rates_of_xrbench() -> None:
    """The rates of XRBench's scenarios: frames per second of each task, of which cameras have a share here."""
    published = {
        ar_assistant: {"segmentation": 10, "depth": 30, "planes": 15, "objects": 10},
        ar_gaming: {"hands": 45, "depth": 30, "planes": 15},
        social: {"eyes": 60, "gaze": 60, "depth": 30, "hands": 30},
    }
    for make, frames_per_s in published.items():
        rates = _rates(make(LONG_S))
        for stream, rate in frames_per_s.items():
            assert rates.pop(stream) == pytest.approx(rate * CAMERA_SCALE, rel=0.01), stream
        assert set(rates) <= {"keywords", "speech"}


def test_half_of_the_keywords_begin_speech() -> None:
    """XRBench's AR assistant listens three times a second, and speech follows with probability 0.5."""
    rates = _rates(ar_assistant(LONG_S))
    assert rates["keywords"] == pytest.approx(KEYWORDS_PER_S, rel=0.01)
    assert rates["speech"] == pytest.approx(KEYWORDS_PER_S / 2, rel=0.05)


def test_each_photo_is_searched_for_faces_and_text() -> None:
    """A photo triggers one search for faces and one for text, and half of the faces are recognized."""
    rates = _rates(photo_server(LONG_S))
    assert rates["photos"] == rates["faces"] == rates["text"]
    assert rates["persons"] == pytest.approx(rates["faces"] / 2, rel=0.1)
