"""How people are told of what happened while they were away."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aiinfn_hub.catalogue.base import Model
from aiinfn_hub.catalogue.fields import Hostname, MailAddress, OptionalAbsolutePath, Seconds


class Mail(Model):
    """A server that takes mail from the hub; addresses are those that the IAM has verified."""

    host: Hostname
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted; none is for a server on the hub's own machine."""
    sender: MailAddress
    """Whom the mail is from, and where answers go."""
    user: str = ""
    """With whose name the hub logs in there; empty for not at all."""
    password_file: OptionalAbsolutePath = ""
    """The file of the hub with the password."""
    after_s: Seconds = Field(300, validation_alias="after")
    """Whoever waited in the queue for less is told by the page that is still open."""
