"""Named mixes of today: several networks at rates of their own, as headsets, photo servers and assistants run them.

Contains mixes of streams by name. Each says where its rates and its triggers are from, and which networks stand for
those of the source. The requests arrive within seconds, so a run takes seconds on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pytest_edgeload import Feed, Gamma, Mix, Periodic, Poisson, Stream

DURATION_S = 4.0
"""The time in which requests arrive."""

CAMERA_SCALE = 1 / 20
"""The share of the published rates at which cameras deliver here: two cores are no accelerator.

Deadlines are the periods, as published, so they are longer by the same factor.
"""

KEYWORDS_PER_S = 3.0
"""The windows of sound in a second in which XRBench's keyword spotter listens."""

_JITTER = 0.1
"""The jitter of cameras and microphones, as a share of the period."""


def ar_assistant(duration_s: float = DURATION_S, seed: int = 1) -> Mix:
    """Return XRBench's AR assistant: a headset sees and waits for a keyword, and half of the keywords begin speech.

    Rates and triggers are those of Kwon et al., "XRBench: An Extended Reality (XR) Machine Learning Benchmark Suite for
    the Metaverse", 2023; those of cameras are scaled by CAMERA_SCALE. Keywords have XRBench's own network, res8-narrow.
    wav2vec2_base stands for its recognizer of 24 layers, segformer_b0 for HRViT-b1, depth_anything_small for MiDaS,
    yolos_tiny for D2Go's Faster-RCNN, and clip_image for PlaneRCNN.
    """
    streams = [
        *_speech(probability=0.5),
        _camera("segmentation", "segformer_b0", 10),
        _camera("depth", "depth_anything_small", 30),
        _camera("planes", "clip_image", 15),
        _camera("objects", "yolos_tiny", 10),
    ]
    return _mix("ar-assistant", streams, duration_s, seed)


def ar_gaming(duration_s: float = DURATION_S, seed: int = 0) -> Mix:
    """Return XRBench's AR gaming: a headset tracks hands, and estimates depth and planes.

    Rates as in `ar_assistant`; yolos_tiny stands for the hand-graph CNN.
    """
    streams = [
        _camera("hands", "yolos_tiny", 45),
        _camera("depth", "depth_anything_small", 30),
        _camera("planes", "clip_image", 15),
    ]
    return _mix("ar-gaming", streams, duration_s, seed)


def social(duration_s: float = DURATION_S, seed: int = 0) -> Mix:
    """Return XRBench's social interaction A: a headset follows eyes, gaze and hands, and refines depth.

    Each segmentation of the eyes triggers an estimate of the gaze. Rates as in `ar_assistant`; segformer_b0 stands for
    RITNet, mobilevit_small for FBNet-C, depth_anything_small for RGBd-200, and yolos_tiny for the hand-graph CNN.
    """
    streams = [
        _camera("eyes", "segformer_b0", 60),
        Stream("gaze", "mobilevit_small", after="eyes", queue=1),
        _camera("depth", "depth_anything_small", 30),
        _camera("hands", "yolos_tiny", 30),
    ]
    return _mix("social", streams, duration_s, seed)


def photo_server(duration_s: float = DURATION_S, seed: int = 4) -> Mix:
    """Return a server of photos: it embeds each photo, looks for faces and text, and users search by words.

    The models are those of immich (https://immich.app), which has 2 GiB in households: both parts of CLIP ViT-B/32, a
    detector and a recognizer of faces, and a detector and a recognizer of text. yolos_tiny and the study's face_net
    stand for the two of buffalo_l, and segformer_b0 and mobilevit_small for those of PP-OCRv5. Photos arrive in bursts,
    as phones upload them. Rates, probabilities and deadlines are ours.
    """
    streams = [
        Stream("photos", "clip_image", Gamma(0.4, 0.3), deadline_s=2),
        Stream("faces", "yolos_tiny", after="photos"),
        Stream("persons", "face_net", after="faces", probability=0.5),
        Stream("text", "segformer_b0", after="photos"),
        Stream("words", "mobilevit_small", after="text", probability=0.3),
        Stream("search", "clip_text", Poisson(1), deadline_s=0.5),
    ]
    return _mix("photo-server", streams, duration_s, seed)


def voice_assistant(duration_s: float = DURATION_S, seed: int = 25) -> Mix:
    """Return a voice assistant: a keyword begins speech, which is written down, looked up and answered.

    The chain is that of open assistants such as Home Assistant's: a keyword spotter, Whisper tiny, embeddings of notes
    (MiniLM), and a language model of 360 M parameters. Rates, probabilities and deadlines are ours.
    """
    streams = [
        _keywords(),
        Stream("hearing", "whisper_tiny_encoder", after="keywords", probability=0.1, deadline_s=1.5),
        _transcript(deadline_s=1.5),
        Stream("notes", "minilm_l6", after="transcript", deadline_s=0.5),
        Stream("reply", "smol_360m", after="notes", steps=16, deadline_s=4),
    ]
    return _mix("voice-assistant", streams, duration_s, seed)


def consumer(duration_s: float = DURATION_S, seed: int = 0) -> Mix:
    """Return ConsumerBench's chat with live captions and images: 1.2 GB of weights.

    Gu et al., "ConsumerBench: Benchmarking Generative AI Applications on End-User Devices", 2025. smol_135m stands for
    Llama-3.2-3B, Whisper tiny for the larger Whisper, and the text part of CLIP and DiT-B/4 for Stable Diffusion 3.5.
    Captions have 2 seconds of sound each. The other rates and the deadlines are ours.
    """
    streams = [
        Stream("chat", "smol_135m", Poisson(0.6), steps=16, deadline_s=4),
        Stream("captions", "whisper_tiny_encoder", Periodic(2.0), deadline_s=1.0),
        _transcript(deadline_s=1.0, after="captions"),
        Stream("prompts", "clip_text", Poisson(0.4), deadline_s=1.0),
        Stream("images", "dit_b4", after="prompts", steps=8, deadline_s=6),
    ]
    return _mix("consumer", streams, duration_s, seed)


TODAY_MIXES: Mapping[str, Callable[..., Mix]] = {
    "ar-assistant": ar_assistant,
    "ar-gaming": ar_gaming,
    "social": social,
    "photo-server": photo_server,
    "voice-assistant": voice_assistant,
    "consumer": consumer,
}
"""All mixes of streams by name."""


def _camera(name: str, network: str, frames_per_s: float) -> Stream:
    """Return a stream that drops all frames but the newest; `frames_per_s` is the published rate."""
    every_s = 1 / (frames_per_s * CAMERA_SCALE)
    return Stream(name, network, Periodic(every_s, _JITTER * every_s), queue=1)


def _keywords() -> Stream:
    every_s = 1 / KEYWORDS_PER_S
    return Stream("keywords", "res8_narrow", Periodic(every_s, _JITTER * every_s), queue=1)


def _speech(probability: float) -> list[Stream]:
    return [_keywords(), Stream("speech", "wav2vec2_base", after="keywords", probability=probability)]


def _transcript(deadline_s: float, after: str = "hearing") -> Stream:
    """Return the stream in which Whisper's decoder writes 12 tokens from the states of its encoder."""
    states = Feed("states", request=0)
    return Stream("transcript", "whisper_tiny_decoder", after=after, steps=12, feeds=(states,), deadline_s=deadline_s)


def _mix(name: str, streams: Sequence[Stream], duration_s: float, seed: int) -> Mix:
    return Mix.of_streams(name, streams, duration_s=duration_s, seed=seed)
