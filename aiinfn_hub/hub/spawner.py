"""AiinfnSpawner: KubeSpawner that starts what the platform file offers, and nothing else."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kubespawner import KubeSpawner
from traitlets import Bool, Float, TraitError, Unicode, default, validate

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.hub.offers import OfferSource
from aiinfn_hub.hub.platform_file import current_platform
from aiinfn_hub.hub.refusal import Refusal, failed, refusal
from aiinfn_hub.hub.session_objects import START, SessionObjects
from aiinfn_hub.identity.person import Person, person_of
from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.pods import names
from aiinfn_hub.sessions.diagnosis import diagnose, refused
from aiinfn_hub.sessions.form import Attempt, render, salvage, understood
from aiinfn_hub.sessions.options import SessionSpec, check_held
from aiinfn_hub.sessions.options import validate as decide
from aiinfn_hub.sessions.pod import DICTS, LISTS, REPLACED, session_traits
from aiinfn_hub.sessions.profiles import choices
from aiinfn_hub.sessions.symptoms import Diagnosis
from aiinfn_hub.sessions.way_out import WayOut, way_out

_PROGRESS = {"quota": 10, "queue": 30, "node": 50, "start": 75}
_LINK_NOTICE = "A link filled in this form. Nothing is started before you press Start."


class AiinfnSpawner(KubeSpawner):
    """Starts notebook servers from a platform file.

    What a person chose goes through one validation, whichever door it came by, at every start. `profile_list` and its
    overrides are not used: what may be chosen is the platform file's business.
    """

    platform_file = Unicode(
        config=True,
        help="Path of platform.yaml. Read again when the file changes; sessions that run keep what they have.",
    )
    service_url = Unicode(
        config=True,
        help="""Where the hub and the sessions reach the platform's service, with its prefix and without a slash at the
        end: http://aiinfn:8001/services/aiinfn. Empty: the form says that what is free is unknown.""",
    )
    hub_key_file = Unicode(
        config=True,
        help="Path of the file with the key by which the hub asks the service; the service has the same file.",
    )
    offer_deadline = Float(
        1.0,
        config=True,
        help="Seconds that the spawn form waits for the service. Later, it says since when the numbers are unknown.",
    )
    queued = Bool(
        True,
        config=True,
        help="Put sessions into Kueue's queue of their activity. Off only where no Kueue is installed.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._configured = {
            **{name: list(self._sorted_dict_values(getattr(self, name))) for name in LISTS},
            **{name: dict(getattr(self, name)) for name in DICTS},
            **{name: list(self._sorted_dict_values(getattr(self, name) or ())) for name in REPLACED},
        }
        self.attempt: Attempt | None = None
        self._spec: SessionSpec | None = None
        self._start_id = self._pod_uid = ""
        self._patience_ends = float("inf")
        self.offers = OfferSource(
            self.user.name, self.service_url, Path(self.hub_key_file), deadline_s=self.offer_deadline
        )

    # ---- defaults of KubeSpawner's traits

    @default("namespace")
    def _namespace_of_the_platform(self) -> str:
        return self.platform.namespace

    @default("cmd")
    def _cmd_of_every_image(self) -> list[str]:
        return ["jupyterhub-singleuser"]

    @default("start_timeout")
    def _start_timeout_for_large_images(self) -> int:
        return 600

    @default("k8s_api_request_timeout")
    def _patience_for_webhooks(self) -> int:
        return 30

    @default("k8s_api_request_retry_timeout")
    def _patience_for_retries(self) -> int:
        return 90

    @default("options_form")
    def _options_form_default(self) -> Any:
        return type(self).spawn_form

    @default("options_from_form")
    def _options_from_form_default(self) -> Any:
        return self._read_form

    @default("apply_user_options")
    def _apply_user_options_default(self) -> Any:
        # `load_user_options` applies them, later; without a callable here JupyterHub logs that nobody does.
        return lambda _spawner, _options: None

    @validate("profile_list")
    def _no_profile_list(self, proposal: Any) -> Any:
        if proposal["value"]:
            raise TraitError("AiinfnSpawner takes its profiles from the platform file: remove profile_list.")
        return proposal["value"]

    @validate("platform_file")
    def _readable_platform_file(self, proposal: Any) -> str:
        if not Path(proposal["value"]).is_file():
            raise TraitError(f"AiinfnSpawner.platform_file: there is no file {proposal['value']!r}.")
        return str(proposal["value"])

    @property
    def platform(self) -> Platform:
        """The catalogue, as its file is now."""
        return current_platform(Path(self.platform_file))

    @property
    def person(self) -> Person:
        """The owner, with the groups that JupyterHub knows now."""
        groups = [group.name for group in self.user.groups]
        return person_of(self.platform, self.user.name, groups, admin=self.user.admin)

    @property
    def objects(self) -> SessionObjects:
        """What the session has in Kubernetes, over KubeSpawner's connections."""
        client = KubeClient(self.api.api_client, request_s=self.k8s_api_request_timeout)
        return SessionObjects(client, self.namespace, self.pod_name)

    # ---- the form, the link, the options

    async def spawn_form(self) -> str:
        """The form, filled in with what was just refused, what a link says, or the last session."""
        attempt = self.attempt or Attempt(self.user_options)
        self.attempt = None
        platform, person = self.platform, self.person
        try:
            offered = choices(platform, person)
        except AiinfnError as error:
            raise refusal(error) from error
        return render(platform, person, offered, seen=await self.offers.look(), attempt=attempt)

    def _read_form(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        options, mistake = understood(self.platform, self.person, fields)
        if mistake is not None:
            # JupyterHub renders the form of the default server after a failed post, whichever server was posted for.
            self.user.spawner.attempt = Attempt(options, mistake)
            raise refusal(mistake, shown=False) from mistake
        return options

    def options_from_query(self, query_data: Mapping[str, Any]) -> dict[str, Any]:
        """A link fills in the form; JupyterHub would start a server from it, without a click."""
        options, mistake = understood(self.platform, self.person, query_data)
        self.attempt = Attempt(options, mistake, "" if mistake else _LINK_NOTICE)
        if mistake is not None:
            raise refusal(mistake, shown=False) from mistake
        raise Refusal(_LINK_NOTICE, reason="link", status=200, shown=False)

    async def load_user_options(self) -> None:
        """Judge the options of whichever door, and turn them into traits; KubeSpawner's first step of a start."""
        self._start_id, self._pod_uid = uuid.uuid4().hex, ""
        self._patience_ends = time.monotonic() + self.start_timeout * 0.95
        platform, person = self.platform, self.person
        try:
            spec = decide(platform, person, self.user_options)
            check_held(spec, self._other_flavours())
        except AiinfnError as error:
            # JupyterHub has stored the options already: what cannot be used must not come back by itself.
            self.orm_spawner.user_options = salvage(platform, person, self.user_options)[0]
            raise refusal(error) from error
        self._spec = spec
        traits = session_traits(platform, person, self.name, spec, self._configured)
        traits["extra_annotations"][START] = self._start_id
        if not self.queued:
            for label in (names.QUEUE, names.PRIORITY):
                del traits["extra_labels"][label]
        for name, value in traits.items():
            setattr(self, name, value)

    def _other_flavours(self) -> list[str]:
        others = [other for other in self.user.spawners.values() if other is not self and other.active]
        return [str(other.user_options.get("flavour", "")) for other in others]

    # ---- the pod and its Secret

    def get_env(self) -> dict[str, Any]:
        """JupyterHub's environment; the token comes from a Secret."""
        env: dict[str, Any] = super().get_env()
        env.pop("JPY_API_TOKEN", None)  # the same token, for JupyterHub before 0.8
        env["JUPYTERHUB_API_TOKEN"] = self.objects.token_variable
        if self.service_url:
            env["AIINFN_SERVICE_URL"] = self.service_url
        if self.working_dir:
            env["HOME"] = self.working_dir
        return env

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> bool:  # noqa: ARG002  `objects` has it
        """Create the Secret, then the pod, then make the pod the Secret's owner; False to be called again.

        KubeSpawner's own deletes any pod it finds under the name, even the one that its own, timed-out request made.
        """
        manifest = self.api.api_client.sanitize_for_serialization(pod)
        labels = {names.KIND: names.SESSION, names.PERSON: names.slug(self.user.name)}
        try:
            await self.objects.put_token(self.api_token, labels)
            made = await self.objects.create_pod(manifest)
            if made is None:
                self.log.info("Stopping pod %s of an earlier start", self.pod_name)
                await self.stop(now=True)
                return False
            self._pod_uid = made["metadata"]["uid"]
            await self.objects.put_token(self.api_token, labels, owner=self._pod_uid)
        except AiinfnError as error:
            found = refused(int(error.details.get("status", 500)), error.message)
            if not found.final:
                self.log.warning("Kubernetes refused pod %s for now: %s", self.pod_name, error)
                return False
            raise failed(found) from error
        return True

    async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002  KubeSpawner's signature
        """Stop the pod and delete its Secret."""
        await super().stop(now)
        try:
            await self.objects.delete_token()
        except AiinfnError as error:
            self.log.warning("The Secret of pod %s goes when the pod goes: %s", self.pod_name, error)

    def is_pod_running(self, pod: Mapping[str, Any] | None) -> bool:
        """Whether the session answers; a start that cannot succeed, or takes too long, ends here with its reason."""
        if pod is not None and self._pod_uid and pod["metadata"]["uid"] != self._pod_uid:
            return False  # the watch still shows the pod of an earlier start
        if super().is_pod_running(pod):
            return True
        starting = self._start_future is not None and not self._start_future.done()
        if starting and pod is not None:
            found = diagnose(pod, self.events)
            if found.final or time.monotonic() > self._patience_ends:
                raise failed(found)
        return False

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the start waits for, as it changes, and Kubernetes' own events beside it."""
        await self._start_watching_events()
        told: tuple[Diagnosis, WayOut | None] | None = None
        shown = 0
        while True:
            over = self._start_future is not None and self._start_future.done()
            events = self.events
            for event in events[shown:]:
                yield {"message": f"{event['type']}: {event['message']}", "raw_event": event}
            shown = len(events)
            found = await self._diagnosis()
            instead = await self._way_out(found)
            if told != (found, instead):
                told = (found, instead)
                message = f"{found.sentence} {found.next_step}".strip()
                news = asdict(found) | {"instead": asdict(instead) if instead else None}
                yield {"progress": _PROGRESS[found.step], "message": message, "aiinfn": news}
            if over:
                return
            await asyncio.sleep(1)

    async def _diagnosis(self) -> Diagnosis:
        pods = self.pod_reflector.pods if self.pod_reflector else {}
        pod = pods.get(f"{self.namespace}/{self.pod_name}")
        workload = None
        if pod is not None and pod["spec"].get("schedulingGates"):
            try:
                workload = await self.objects.workload(pod["metadata"]["uid"])
            except AiinfnError as error:
                self.log.debug("No Workload of pod %s: %s", self.pod_name, error)
        return diagnose(pod, self.events, workload)

    async def _way_out(self, found: Diagnosis) -> WayOut | None:
        """What to choose instead, while the session waits for its turn or for a node."""
        if self._spec is None or found.final or found.step not in ("queue", "node"):
            return None
        seen = await self.offers.look(5)
        return way_out(choices(self.platform, self.person), seen, self._spec, self.user_options)
