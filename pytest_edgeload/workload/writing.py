"""The text of a workload file for a document: YAML without the fields that have their default values. Pure."""

from __future__ import annotations

import io
from typing import Any

import msgspec
from ruamel.yaml import YAML

from pytest_edgeload.workload.file import WorkloadDocument
from pytest_edgeload.workload.stream_file import StreamsDocument


def yaml_text(document: WorkloadDocument | StreamsDocument) -> str:
    """Return YAML that `workload.file.parse` reads as the same document."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False  # type: ignore[assignment]
    yaml.dump(_plain(document), text)
    return text.getvalue()


def _plain(value: Any) -> Any:
    """Return a struct as a mapping of the fields that differ from their defaults, and its tag if it has one."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if not isinstance(value, msgspec.Struct):
        return value
    config = value.__struct_config__
    fields: dict[str, Any] = {} if config.tag_field is None else {config.tag_field: config.tag}
    for field in msgspec.structs.fields(value):
        own = getattr(value, field.name)
        if own is not msgspec.UNSET and own != field.default:
            fields[field.encode_name] = _plain(own)
    return fields
