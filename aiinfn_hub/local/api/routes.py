"""From a request to an answer: the path names the target, the method the verb."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from aiinfn_hub.local.api import (
    deletion,
    discovery,
    listing,
    openapi,
    patches,
    paths,
    pod_actions,
    reviews,
    status,
    views,
)
from aiinfn_hub.local.api.auth import answer
from aiinfn_hub.local.api.kinds import Resource, Resources
from aiinfn_hub.local.api.listing import Listing
from aiinfn_hub.local.api.logs import Logs
from aiinfn_hub.local.api.objects import Objects, ref
from aiinfn_hub.local.api.paths import Target
from aiinfn_hub.local.api.store import Stored, decode, encode
from aiinfn_hub.local.api.strategic import strategic
from aiinfn_hub.local.api.watching import Watches

Object = dict[str, Any]
Verb = Callable[[web.Request, Resource, Target], Awaitable[web.StreamResponse]]

_JSON = "application/json"
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"
_RETURNED = frozenset(
    {
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "resourcequotas",
        "serviceaccounts",
        "services",
        "storageclasses",
    }
)
_HEALTH = frozenset({"/healthz", "/readyz", "/livez"})


class Api:
    """The verbs of the API over the parts that do the work."""

    def __init__(self, objects: Objects, resources: Resources, lists: Listing, watches: Watches, logs: Logs) -> None:
        self._objects = objects
        self._resources = resources
        self._lists = lists
        self._watches = watches
        self._logs = logs

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request that the guard let in."""
        target = paths.parse(request.path)
        if target is None:
            return self._about(request)
        review = reviews.kind_of(target)
        if review and request.method == "POST":
            return answer(encode(reviews.reply(review, await read_object(request))), 201)
        resource = self._resources.get(target.group, target.version, target.plural)
        if resource is None:
            return self._about(request)
        if not _fits(resource, target, request.method):
            raise status.no_such_path()
        if target.subresource and not (target.subresource == "status" and resource.status):
            return await self._act(request, resource, target)
        verb = self._verbs(target).get(request.method)
        if verb is None:
            raise status.not_allowed()
        return await verb(request, resource, target)

    def _verbs(self, target: Target) -> dict[str, Verb]:
        if not target.name:
            return {"GET": self._list, "POST": self._create, "DELETE": self._delete_collection}
        verbs: dict[str, Verb] = {"GET": self._get, "PUT": self._update, "PATCH": self._patch}
        return verbs if target.subresource else verbs | {"DELETE": self._delete}

    def _about(self, request: web.Request) -> web.Response:
        """What is said of the server itself."""
        path = request.path.rstrip("/")
        if request.method != "GET":
            raise status.no_such_path()
        if path in _HEALTH:
            return web.Response(text="ok")
        parts = path.strip("/").split("/")
        found = describe(self._resources, parts)
        if found is None and not self._serves(parts):
            return web.Response(status=404, text="404 page not found\n")
        if found is None:
            raise status.no_such_path()
        return answer(encode(found))

    def _serves(self, path: list[str]) -> bool:
        """Whether a path lies in a version of a group that is there, so that only its resource is not."""
        found = paths.version(path)
        return found is not None and any((r.kind.group, r.kind.version) == found for r in self._resources)

    async def _act(self, request: web.Request, resource: Resource, target: Target) -> web.StreamResponse:
        """The subresources of a pod that are acts."""
        if resource.table == ("", "pods"):
            if (request.method, target.subresource) == ("GET", "log"):
                return await self._logs.serve(request, self._objects.get(resource, target.namespace, target.name))
            action = pod_actions.ACTIONS.get(target.subresource)
            if action is not None and request.method == "POST":
                body = await read_object(request)
                found = action(self._objects, resource, target.namespace, target.name, body)
                return answer(encode(found), 201)
        raise status.no_such_path()

    async def _list(self, request: web.Request, resource: Resource, target: Target) -> web.StreamResponse:
        view = self._view(request, resource)
        if listing.flag(request.query, "watch"):
            chosen = listing.selection(request.query, resource)
            return await self._watches.serve(request, view, target.namespace, chosen)
        return answer(view.many(self._lists.page(resource, target.namespace, request.query)))

    async def _get(self, request: web.Request, resource: Resource, target: Target) -> web.StreamResponse:
        stored = self._objects.get(resource, target.namespace, target.name)
        return answer(self._view(request, resource).one(stored))

    async def _create(self, request: web.Request, resource: Resource, target: Target) -> web.StreamResponse:
        body = await read(request)
        stored = self._objects.create(resource, target.namespace, body, dry_run=is_dry_run(request))
        return self._answer(request, resource, stored, 201)

    async def _update(self, request: web.Request, resource: Resource, target: Target) -> web.StreamResponse:
        body = await read(request)
        stored = self._objects.update(
            resource, target.namespace, target.name, body, subresource=target.subresource, dry_run=is_dry_run(request)
        )
        return self._answer(request, resource, stored)

    async def _patch(self, request: web.Request, resource: Resource, target: Target) -> web.StreamResponse:
        accepted = [_JSON_PATCH, _MERGE_PATCH, *([] if resource.custom else [_STRATEGIC_PATCH]), _APPLY_PATCH]
        body = await read(request, accepted)
        kind = request.content_type
        if kind == _APPLY_PATCH and not target.subresource and not self._exists(resource, target):
            created = self._objects.create(resource, target.namespace, body, dry_run=is_dry_run(request))
            return self._answer(request, resource, created, 201)

        def change(document: Object) -> Any:
            if kind == _JSON_PATCH:
                return patches.json_patch(document, body)
            merge = patches.merge if kind == _MERGE_PATCH or resource.custom else strategic
            return merge(document, body)

        stored = self._objects.patch(
            resource, target.namespace, target.name, change, subresource=target.subresource, dry_run=is_dry_run(request)
        )
        return self._answer(request, resource, stored)

    async def _delete(self, request: web.Request, resource: Resource, target: Target) -> web.StreamResponse:
        body = await read(request) if request.can_read_body else None
        options = deletion.parse_options(body, dict(request.query))
        dry_run = is_dry_run(request) or bool(options.dry_run)
        stored, gone = deletion.delete(self._objects, resource, target.namespace, target.name, options, dry_run=dry_run)
        # The real one returns the object where it stays for a while, and for some kinds always.
        if gone and resource.stored.plural not in _RETURNED:
            return answer(encode(status.success(resource, target.name, stored.obj["metadata"]["uid"])))
        return self._answer(request, resource, stored)

    async def _delete_collection(self, request: web.Request, resource: Resource, target: Target) -> web.StreamResponse:
        body = await read(request) if request.can_read_body else None
        options = deletion.parse_options(body, dict(request.query))
        page = self._lists.page(resource, target.namespace, request.query)
        for stored in page.items:
            deletion.delete(
                self._objects, resource, stored.ref.namespace, stored.ref.name, options, dry_run=is_dry_run(request)
            )
        return answer(views.Whole(resource).many(page))

    def _exists(self, resource: Resource, target: Target) -> bool:
        return self._objects.store.get(ref(resource, target.namespace, target.name)) is not None

    def _view(self, request: web.Request, resource: Resource) -> views.View:
        include = request.query.get("includeObject", "")
        return views.choose(request.headers.get("Accept", ""), resource, include, time.time())

    def _answer(self, request: web.Request, resource: Resource, stored: Stored, code: int = 200) -> web.Response:
        return answer(self._view(request, resource).one(stored), code)


def describe(resources: Resources, path: list[str]) -> Object | None:
    """What the server says of itself at a path."""
    found: Object | None = None
    match path:
        case ["version"]:
            found = discovery.VERSION
        case ["api"]:
            found = discovery.core_versions()
        case ["apis"]:
            found = discovery.groups(resources)
        case ["openapi", "v3"]:
            found = openapi.index(resources)
        case ["openapi", "v3", "api", version]:
            found = openapi.document(resources, "", version)
        case ["openapi", "v3", "apis", group, version]:
            found = openapi.document(resources, group, version)
        case ["api", version]:
            found = discovery.resource_list(resources, "", version)
        case ["apis", group]:
            found = discovery.group(resources, group)
        case ["apis", group, version]:
            found = discovery.resource_list(resources, group, version)
    return found


def is_dry_run(request: web.Request) -> bool:
    """Whether the request only asks what would happen."""
    return request.query.get("dryRun") == "All"


def _fits(resource: Resource, target: Target, method: str) -> bool:
    """Whether a path has a namespace where its kind needs one; lists may span all of them."""
    if not resource.kind.namespaced:
        return not target.namespace
    return bool(target.namespace) or not (target.name or method == "POST")


async def read_object(request: web.Request) -> Object:
    """The JSON object of a body.

    Raises:
        InvalidInput: as `read`, and 400 for any other value.
    """
    body = await read(request)
    if not isinstance(body, dict):
        raise status.bad_request("the body is not an object")
    return body


async def read(request: web.Request, accepted: list[str] | None = None) -> Any:
    """The JSON of a body.

    Raises:
        InvalidInput: 415 for anything that a web page could send without asking, 400 for what is no JSON.
    """
    accepted = accepted or [_JSON]
    if request.content_type not in accepted or "Content-Type" not in request.headers:
        raise status.unsupported_media(accepted, patch=request.method == "PATCH")
    try:
        return decode(await request.read())
    except (msgspec.DecodeError, RecursionError) as error:
        raise status.bad_request(f"the body cannot be read as JSON: {error}") from error
