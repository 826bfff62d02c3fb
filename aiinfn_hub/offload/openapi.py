"""The room's part of the service's OpenAPI 3.1 document; its schemas come from the structs that the routes decode."""

from __future__ import annotations

from typing import Any

import msgspec

from aiinfn_hub.contract.jobs import Extend, FramePage, JobRequest, JobState, JobView, Retry, Vitals, Why
from aiinfn_hub.contract.plans import Plan, Target
from aiinfn_hub.contract.sweeps import SweepRequest, SweepRetry, SweepView
from aiinfn_hub.offload.checkpoints import Kept
from aiinfn_hub.offload.results import Report
from aiinfn_hub.offload.run_routes import Introduction

_STRUCTS = (JobRequest, JobView, FramePage, Why, Target, Plan, Retry, Extend, Report, Introduction, Vitals, Kept)
_SWEEPS = (SweepRequest, SweepRetry, SweepView)
_REF = "#/components/schemas/{name}"
_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_JOB = {
    "name": "job",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "Identifier or name.",
}
_SHA256 = {"name": "sha256", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_RUN = {"name": "run", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-z]{26}$"}}


def components() -> dict[str, Any]:
    """`components` of the document: schemas, the error's answer, and the two ways to show who one is."""
    _, schemas = msgspec.json.schema_components((*_STRUCTS, *_SWEEPS), ref_template=_REF)
    schemas["Error"] = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "hint", "details"],
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "hint": {"type": "string"},
                    "details": {"type": "object"},
                },
            }
        },
    }
    return {
        "schemas": schemas,
        "responses": {
            "Error": {"description": "What was wrong, and what to do next.", "content": _json_ref("Error")},
        },
        "securitySchemes": {
            "hubToken": {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "`token T`: a token of JupyterHub with access to the service.",
            },
            "runToken": {"type": "http", "scheme": "bearer", "description": "The capability or token of a run."},
        },
    }


def paths(prefix: str) -> dict[str, Any]:
    """`paths` of the routes for people and notebooks, below `prefix`."""
    api = f"{prefix}/api"
    return {
        f"{api}/jobs": {
            "post": _operation(
                "Submit a job", body="JobRequest", answer=_ref("JobView"), status=201,
                parameters=[_header("Idempotency-Key", "The same key with the same request is the same job.")],
            ),
            "get": _listing(),
        },
        f"{api}/jobs/{{job}}": {"parameters": [_JOB], "get": _operation("One job", answer=_ref("JobView"))},
        f"{api}/jobs/{{job}}/frames": {"parameters": [_JOB], "get": _frames()},
        f"{api}/jobs/{{job}}/why": {
            "parameters": [_JOB],
            "get": _operation("Why a job waits, or ended as it did", answer=_ref("Why")),
        },
        **_acts(f"{api}/jobs/{{job}}"),
        **_sweeps(f"{api}/sweeps"),
        f"{api}/jobs/{{job}}/outputs/{{name}}": {"parameters": [_JOB, _NAME], **_download("A value of a job")},
        f"{api}/blobs/{{sha256}}": {
            "parameters": [_SHA256],
            "put": _upload("Send bytes that a job will need"),
            **_download("Bytes that you have sent, or that a job of yours returned"),
        },
        f"{api}/plan": {"post": _operation("What would happen to a job", body="JobRequest", answer=_ref("Plan"))},
        f"{api}/targets": {
            "get": _operation(
                "Where you can send jobs", answer=_object(targets={"type": "array", "items": _ref("Target")})
            )
        },
    }  # fmt: skip


def _listing() -> dict[str, Any]:
    state = _query("state", description=f"Comma list of: {', '.join(JobState)}.")
    before = _query("before", "Unix seconds: those submitted then or earlier.", type="number")
    return _operation(
        "List your jobs, newest first",
        answer=_object(jobs={"type": "array", "items": _ref("JobView")}),
        parameters=[_query("name"), state, before, _query("limit", type="integer", maximum=500)],
    )


def _acts(job: str) -> dict[str, Any]:
    """What is done to a job; `job` is its path."""
    return {
        f"{job}/cancel": {"parameters": [_JOB], "post": _operation("End a job", answer=_ref("JobView"))},
        f"{job}/retry": {
            "parameters": [_JOB],
            "post": _operation("The same again, with other amounts", body="Retry", answer=_ref("JobView"), status=201),
        },
        f"{job}/extend": {
            "parameters": [_JOB],
            "post": _operation("More time for a job", body="Extend", answer=_ref("JobView")),
        },
        f"{job}/evict": {
            "parameters": [_JOB],
            "post": _operation("Rehearse an eviction of a job that runs", answer=_ref("JobView")),
        },
    }


def _sweeps(sweeps: str) -> dict[str, Any]:
    """What is done to sweeps, whose path this is."""
    one, which = f"{sweeps}/{{sweep}}", {**_JOB, "name": "sweep"}
    key = _header("Idempotency-Key", "The same key with the same request is the same sweep.")
    answer = _ref("SweepView")
    submit = _operation("Run code for many points", body="SweepRequest", answer=answer, status=201, parameters=[key])
    retry = _operation("Run again what did not succeed", body="SweepRetry", answer=answer, status=201)
    return {
        sweeps: {"post": submit},
        one: {"parameters": [which], "get": _operation("One sweep", answer=answer)},
        f"{one}/cancel": {"parameters": [which], "post": _operation("End a sweep", answer=answer)},
        f"{one}/retry": {"parameters": [which], "post": retry},
    }


def run_paths() -> dict[str, Any]:
    """`paths` of the runner listener."""
    frames = _object(frames={"type": "array", "items": {"type": "object", "required": ["seq", "output_type"]}})
    frames["properties"] |= {"memory": {"type": "integer", "minimum": 0}, "metrics": {"type": "object"}}
    number, yes = {"type": "number"}, {"type": "boolean"}
    orders = {"cancel": yes, "limit_s": number}
    grant = {"token": {"type": "string"}, "attempt": {"type": "integer"}, "limit_s": number, "restore": yes}
    name = _header("X-Aiinfn-Codec"), _header("X-Aiinfn-Sha256"), _header("X-Aiinfn-Summary")
    return {
        "/runs/{run}/exchange": {
            "parameters": [_RUN],
            "post": _operation(
                "The capability for a token", body="Introduction", answer=_object(**grant, heartbeat_s=number), run=True
            ),
        },
        "/runs/{run}/inputs/{sha256}": {"parameters": [_RUN, _SHA256], "get": _download("An input", run=True)["get"]},
        "/runs/{run}/frames": {
            "parameters": [_RUN],
            "post": _operation(
                "Output of the attempt", body=frames, answer=_object(next={"type": "integer"}, **orders), run=True
            ),
        },
        "/runs/{run}/heartbeat": {
            "parameters": [_RUN],
            "post": _operation("A sign of life", body="Vitals", answer=_object(**orders), run=True),
        },
        **_kept(),
        "/runs/{run}/outputs/{name}": {
            "parameters": [_RUN, _NAME, *name],
            "put": _upload("A value that the run returns", run=True),
        },
        "/runs/{run}/result": {
            "parameters": [_RUN],
            "post": _operation("How the attempt ended", body="Report", answer={"type": "object"}, run=True),
        },
    }


def _kept() -> dict[str, Any]:
    return {
        "/runs/{run}/checkpoints": {
            "parameters": [_RUN],
            "post": _operation("A checkpoint is complete", body="Kept", answer={"type": "object"}, run=True),
            "get": _operation(
                "What can be gone on from, the latest first",
                answer=_object(checkpoints={"type": "array", "items": _ref("Kept")}),
                run=True,
            ),
        },
        "/runs/{run}/pieces/{sha256}": {
            "parameters": [_RUN, _SHA256],
            "put": _upload("A piece of a checkpoint that is to come", run=True),
            "get": _download("A piece of a checkpoint", run=True)["get"],
        },
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(name=name)}


def _json_ref(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": sorted(properties), "properties": properties}


def _query(name: str, description: str = "", **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string", **schema}, "description": description}


def _header(name: str, description: str = "") -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": description}


def _operation(
    summary: str,
    *,
    answer: dict[str, Any],
    body: str | dict[str, Any] = "",
    status: int = 200,
    parameters: list[dict[str, Any]] | None = None,
    run: bool = False,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": summary,
        "security": [{"runToken" if run else "hubToken": []}],
        "responses": {
            str(status): {"description": "Done.", "content": {"application/json": {"schema": answer}}},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }
    if body:
        schema = _ref(body) if isinstance(body, str) else body
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if parameters:
        found["parameters"] = parameters
    return found


def _frames() -> dict[str, Any]:
    return _operation(
        "The output of a job, at once or as soon as there is more, a change, or the time is over",
        answer=_ref("FramePage"),
        parameters=[
            _query("after", type="integer", minimum=0),
            _query("wait", type="number", minimum=0, maximum=50),
            _query("state", description="The state that the caller knows; another one is answered at once."),
        ],
    )


def _upload(summary: str, *, run: bool = False) -> dict[str, Any]:
    found = _operation(summary, answer={"type": "object"}, status=201, run=run)
    return found | {"requestBody": {"required": True, "content": _BINARY}}


def _download(summary: str, *, run: bool = False) -> dict[str, Any]:
    found = _operation(summary, answer={}, run=run)
    found["responses"]["200"] = {"description": "The bytes, as an attachment.", "content": _BINARY}
    head = {**found, "responses": {**found["responses"], "200": {"description": "It is there."}}}
    return {"get": found, "head": head}
