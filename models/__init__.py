"""The ten networks of the 2020 study and those of today, each an ordinary nn.Module; one file per family.

This file contains only the tables of names. The pytest process imports it, so it must not import torch.
"""

from __future__ import annotations

NETWORKS: dict[str, str] = {
    "age_net": "models.caffenet:age_net",
    "gender_net": "models.caffenet:gender_net",
    "emotion_net": "models.vgg:emotion_net",
    "mem_net": "models.caffenet:mem_net",
    "object_net": "models.vgg:object_net",
    "scene_net": "models.caffenet:scene_net",
    "sos_net": "models.caffenet:sos_net",
    "face_net": "models.caffenet:face_net",
    "tiny_yolo": "models.yolo:tiny_yolo",
    "sos_googlenet": "models.googlenet:sos_googlenet",
}
"""The factory of each network as `module:function`; it takes no arguments and returns (module, samples)."""

DECODERS: dict[str, str] = {
    "smol_135m": "models.decoders:smol_135m",
    "smol_360m": "models.decoders:smol_360m",
    "smol_360m_bf16": "models.decoders:smol_360m_bf16",
    "smol_360m_int8": "models.decoders:smol_360m_int8",
    "smol_360m_cached": "models.cached:smol_360m_cached",
}
"""The same for decoders, which need the package transformers."""

SPEECH: dict[str, str] = {
    "whisper_tiny_encoder": "models.speech:whisper_tiny_encoder",
    "whisper_tiny_decoder": "models.speech:whisper_tiny_decoder",
}
"""The same for the two networks of a speech recognizer, of which the second takes the output of the first."""

TODAY: dict[str, str] = {
    "clip_image": "models.vision:clip_image",
    "clip_text": "models.text:clip_text",
    "yolos_tiny": "models.vision:yolos_tiny",
    "segformer_b0": "models.vision:segformer_b0",
    "depth_anything_small": "models.vision:depth_anything_small",
    "mobilevit_small": "models.vision:mobilevit_small",
    "wav2vec2_base": "models.audio:wav2vec2_base",
    "res8_narrow": "models.audio:res8_narrow",
    "minilm_l6": "models.text:minilm_l6",
    "dit_b4": "models.images:dit_b4",
}
"""The same for other networks of today: vision, sound, text and images."""

SEEING: dict[str, str] = {
    "smolvlm_image": "models.vision_language:smolvlm_image",
    "smolvlm_text": "models.vision_language:smolvlm_text",
    "small_vlm_image": "models.vision_language:small_vlm_image",
    "small_vlm_text": "models.vision_language:small_vlm_text",
}
"""The same for two language models that see, each an image encoder and the decoder that takes its output."""
