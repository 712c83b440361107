"""The study's ten networks, each an ordinary nn.Module.

Here lives the table of names and nothing else: pytest's own process imports this file, so it must not import torch.
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
"""Where each network is made: `module:function`, a function without arguments that returns (module, samples)."""
