"""What all models of the catalogue have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Base of the catalogue: frozen, and a key that nobody reads is a mistake.

    A field with a unit in its name (`max_lifetime_s`) has a plain name in the file (`max_lifetime: 12h`); Python code
    may use either.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,  # an editor shows them, from the JSON Schema
    )
