"""What every section of the file has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel


class Section(BaseModel):
    """A mapping in the file: camelCase keys, no unknown ones, frozen once read. A key without a
    value (`ttl:`) is a key that was not written."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: Any) -> Any:
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            return data
        known = {row.alias for row in cls.model_fields.values()}
        return {key: item for key, item in data.items() if item is not None or key not in known}
