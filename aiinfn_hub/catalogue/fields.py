"""Types of the fields of a platform file: names, quantities, paths, each with the sentence that refuses a bad one."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from aiinfn_hub.catalogue.references import parse_reference
from aiinfn_hub.contract.quantities import parse_bytes, parse_cpu, parse_duration
from aiinfn_hub.errors import InvalidInput


@dataclass(frozen=True)
class Grammar:
    """What a text must look like in full; also written into the JSON Schema, for editors."""

    pattern: str
    sentence: str
    longest: int = 63

    def check(self, value: str) -> str:
        """Return the value, or refuse it with the sentence."""
        if len(value) > self.longest:
            raise PydanticCustomError("grammar", "is longer than {longest} characters", {"longest": self.longest})
        if re.fullmatch(self.pattern, value, re.ASCII) is None:
            raise PydanticCustomError(
                "grammar", "{value} is not {sentence}", {"value": repr(value), "sentence": self.sentence}
            )
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$", "maxLength": self.longest}


def _amount(parse: Callable[[Any], int]) -> Callable[[Any], int]:
    """`parse`, with its sentence and hint as an error of one field."""

    def read(value: Any) -> int:
        try:
            return parse(value)
        except InvalidInput as error:
            raise PydanticCustomError("quantity", "{sentence}", {"sentence": str(error)}) from error

    return read


def _fraction(value: Any) -> Any:
    """A weight may be written as people say it, "1/7"."""
    if not isinstance(value, str):
        return value
    try:
        return float(Fraction(value))
    except (ValueError, ZeroDivisionError) as error:
        raise PydanticCustomError(
            "weight", "{value} is not a weight. Write a number or a fraction, as in 0.4 or 1/7.", {"value": repr(value)}
        ) from error


def _plain(value: str) -> str:
    """Refuse `.` and `..`, which could lead out of a volume."""
    if (value and posixpath.normpath(value) != value) or ".." in value.split("/"):
        raise PydanticCustomError("path", "{value} is not a plain path without '.' and '..'.", {"value": repr(value)})
    return value


_AMOUNT = WithJsonSchema({"type": ["string", "number"]}, mode="validation")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_PART = r"(?:[A-Za-z0-9._+@=~-]|\{person\}|\{activity\})+"
_DNS = rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*"


def _pinned_image(value: str) -> str:
    try:
        reference = parse_reference(value)
    except InvalidInput as error:
        raise PydanticCustomError("image", "{sentence}", {"sentence": str(error)}) from error
    if not reference.pinned:
        raise PydanticCustomError("image", "{value} has neither tag nor digest.", {"value": repr(value)})
    return value


#: Becomes a label value of pods: flavours, images, sites.
Name = Annotated[
    str, Grammar(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", "a name: lower-case letters, digits, '-' and '.' between them")
]
#: Becomes part of the names of Kubernetes objects ("<activity>-interactive"): activities, volumes, namespaces.
ObjectName = Annotated[str, Grammar(_DNS_LABEL, "a name: lower-case letters, digits and '-' between them", 48)]
#: The name of a PersistentVolumeClaim or a Secret that exists.
ExistingName = Annotated[str, Grammar(rf"(?:{_DNS})?", "the name of a Kubernetes object", 253)]
LabelKey = Annotated[str, Grammar(rf"(?:{_DNS}/)?{_LABEL}", 'a label key, as in "nvidia.com/gpu.product"', 317)]
LabelValue = Annotated[str, Grammar(rf"(?:{_LABEL})?", "a label value: letters, digits, '-', '_', '.'")]
#: An extended resource of nodes; "" asks for none.
ResourceName = Annotated[str, Grammar(rf"(?:{_DNS}/{_LABEL})?", 'a resource name, as in "nvidia.com/gpu"', 317)]
MigProfile = Annotated[str, Grammar(r"(?:[1-9]g\.[1-9][0-9]*gb)?", 'a MIG profile, as in "1g.5gb"', 16)]
#: A host, and a port where it is not that of HTTPS.
Host = Annotated[str, Grammar(rf"{_DNS}(?::[0-9]{{1,5}})?", 'a host, as in "gitlab.cern.ch"', 259)]
Hostname = Annotated[str, Grammar(_DNS, 'a host, as in "smtp.example.org"', 253)]
MailAddress = Annotated[str, Grammar(rf"[A-Za-z0-9._%+-]+@{_DNS}", "an address of mail", 254)]
Url = Annotated[
    str, Grammar(rf"https?://{_DNS}(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~/-]*)?", "a URL without a query", 1024)
]
OptionalUrl = Annotated[
    str, Grammar(rf"(?:https?://{_DNS}(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~/-]*)?)?", "a URL without a query", 1024)
]
#: As object stores write it: arn:aws:iam::ACCOUNT:role/NAME, the account empty for Ceph's and MinIO's default.
RoleArn = Annotated[
    str, Grammar(r"arn:aws:iam::[A-Za-z0-9_-]*:role/[A-Za-z0-9+=,.@_/-]+", 'a role, as in "arn:aws:iam:::role/x"', 2048)
]
#: A bucket of S3, or one for each person or activity.
Bucket = Annotated[
    str, Grammar(r"(?:[a-z0-9.-]|\{person\}|\{activity\})+", 'a bucket, as in "data" or "user-{person}"', 63)
]
CudaVersion = Annotated[str, Grammar(r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){0,2})?", 'a version of CUDA, as in "12.8"', 16)]
#: A group of the IAM by its full path.
GroupPath = Annotated[str, Grammar(r"(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)+", 'a full group path, as in "/aiinfn/cms"', 255)]
OptionalGroupPath = Annotated[str, Grammar(r"(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*", "a full group path", 255)]
#: A scope of OAuth (RFC 6749, 3.3); what ends a login or asks for a longer one is not for a token of a session.
Scope = Annotated[
    str,
    Grammar(r"(?!offline_access$)[!#-\[\]-~]+", 'a scope of OAuth, as in "storage.read:/"; not offline_access', 255),
]
#: An audience is a text without blanks, because a list of them is sent with blanks between (INDIGO IAM).
Audience = Annotated[str, Grammar(r"[!-~]+", "an audience: one word or address, without blanks", 255)]
ClaimPath = Annotated[
    str, Grammar(r"(?:[A-Za-z0-9_:/-]+(?:\.[A-Za-z0-9_:/-]+)*)?", 'a claim, as in "uid" or "attr.uidNumber"', 255)
]
#: 0 is root; the kernel's "nobody" and what is above belong to nobody.
Uid = Annotated[int, Field(ge=1000, lt=2**31)]
PinnedImage = Annotated[str, AfterValidator(_pinned_image)]
AbsolutePath = Annotated[
    str, Grammar(r"(?:/[A-Za-z0-9._+@:=,~-]+)+", "an absolute path without spaces", 1024), AfterValidator(_plain)
]
OptionalAbsolutePath = Annotated[
    str, Grammar(r"(?:/[A-Za-z0-9._+@:=,~-]+)*", "an absolute path without spaces", 1024), AfterValidator(_plain)
]
#: A folder of a volume; the names of the person and of the activity are filled in.
SubPath = Annotated[
    str,
    Grammar(rf"(?:{_PART}(?:/{_PART})*)?", "a relative path, in which {person} and {activity} can stand", 1024),
    AfterValidator(_plain),
]
Title = Annotated[str, Field(min_length=1, max_length=120)]
Cpu = Annotated[int, Field(ge=1), BeforeValidator(_amount(parse_cpu)), _AMOUNT]
Bytes = Annotated[int, BeforeValidator(_amount(parse_bytes)), _AMOUNT]
Seconds = Annotated[int, Field(ge=1), BeforeValidator(_amount(parse_duration)), _AMOUNT]
Weight = Annotated[float, Field(ge=0, le=1024, allow_inf_nan=False), BeforeValidator(_fraction), _AMOUNT]
