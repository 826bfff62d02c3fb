"""AiinfnSpawner: KubeSpawner that starts what the platform file offers, and nothing else."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from kubespawner import KubeSpawner
from traitlets import Bool, Float, TraitError, Unicode, default, validate

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.offer import TicketOffer
from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.hub.at_service import AtService
from aiinfn_hub.hub.form_page import form_page
from aiinfn_hub.hub.images import settled
from aiinfn_hub.hub.last_choice import LastChoice
from aiinfn_hub.hub.offers import OfferSource
from aiinfn_hub.hub.outbox import tell
from aiinfn_hub.hub.platform_file import current_platform
from aiinfn_hub.hub.pod_start import PodStart
from aiinfn_hub.hub.posix import numbered
from aiinfn_hub.hub.progress import progress
from aiinfn_hub.hub.refusal import Refusal, failed, queued, refusal
from aiinfn_hub.hub.reservations import may_start
from aiinfn_hub.hub.session_objects import START, Pod, SessionObjects, is_ticket, ticket_in
from aiinfn_hub.identity.person import Person, person_of
from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.pods import names
from aiinfn_hub.sessions.availability import Seen, ticket_of
from aiinfn_hub.sessions.diagnosis import diagnose
from aiinfn_hub.sessions.form import Attempt, salvage, understood
from aiinfn_hub.sessions.options import SessionSpec
from aiinfn_hub.sessions.options import validate as decide
from aiinfn_hub.sessions.pod import DICTS, LISTS, REPLACED, session_traits
from aiinfn_hub.sessions.profiles import choices
from aiinfn_hub.sessions.storage_words import with_volume
from aiinfn_hub.sessions.symptoms import Diagnosis
from aiinfn_hub.sessions.tickets import parked
from aiinfn_hub.sessions.way_out import WayOut, way_out

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
    queue_patience = Float(
        3.0,
        config=True,
        help="Seconds that a start waits for its turn in the queue. Then the session goes on waiting without the hub.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._configured = {
            **{name: list(self._sorted_dict_values(getattr(self, name) or ())) for name in (*LISTS, *REPLACED)},
            **{name: dict(getattr(self, name)) for name in DICTS},
        }
        self.last = LastChoice()
        self._spec: SessionSpec | None = None
        self._pod_start = PodStart(self, {})
        self._patience_ends = float("inf")
        self.service = AtService(self.user.name, self.service_url, Path(self.hub_key_file))
        self.offers = OfferSource(self.service, deadline_s=self.offer_deadline)

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

    spawn_form = form_page

    def _read_form(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        options, mistake = self.last.read(self.platform, self.person, fields)
        if mistake is not None:
            # JupyterHub renders the form of the default server after a failed post, whichever server was posted for.
            self.user.spawner.last.attempt = Attempt(options, mistake)
            raise refusal(mistake, shown=False) from mistake
        return options

    def options_from_query(self, query_data: Mapping[str, Any]) -> dict[str, Any]:
        """A link fills in the form; JupyterHub would start a server from it, without a click."""
        options, mistake = understood(self.platform, self.person, query_data)
        self.last.attempt = Attempt(options, mistake, "" if mistake else _LINK_NOTICE)
        if mistake is not None:
            raise refusal(mistake, shown=False) from mistake
        raise Refusal(_LINK_NOTICE, reason="link", status=200, shown=False)

    async def load_user_options(self) -> None:
        """Judge the options of whichever door, and turn them into traits; KubeSpawner's first step of a start."""
        self._pod_start = PodStart(self, {names.KIND: names.SESSION, names.PERSON: names.slug(self.user.name)})
        self._patience_ends = time.monotonic() + self.start_timeout * 0.9  # KubeSpawner ends up to 10 % early
        platform, person = self.platform, self.person
        try:
            person = await numbered(self)
            spec = decide(platform, person, self.user_options)
            image = await settled(self.service, platform, spec, self.log)
            granted_s = await may_start(self, platform, spec)
        except AiinfnError as error:
            # JupyterHub has stored the options already: what cannot be used must not come back by itself.
            self.orm_spawner.user_options = salvage(platform, person, self.user_options)[0]
            raise refusal(error) from error
        self._spec, told = spec, {"pod": self.pod_name, "queued": self.queued}
        traits = session_traits(platform, person, self.name, spec, self._configured, **told)
        # The choice stays what it was, so that a session in the queue is found again; the pod knows what it may use.
        traits["extra_annotations"] |= {START: uuid.uuid4().hex, names.LIFETIME: str(granted_s)}
        for name, value in (traits | {"image": image}).items():
            setattr(self, name, value)

    # ---- the pod and its Secret

    def get_env(self) -> dict[str, Any]:
        """JupyterHub's environment; the token comes from a Secret."""
        env: dict[str, Any] = super().get_env()
        env.pop("JPY_API_TOKEN", None)  # the same token, for JupyterHub before 0.8
        known = {"AIINFN_SERVICE_URL": self.service_url, "HOME": self.environment.get("HOME", self.working_dir)}
        return env | {"JUPYTERHUB_API_TOKEN": self.objects.token_variable} | {k: v for k, v in known.items() if v}

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> bool:  # noqa: ARG002  `objects` has it
        """Bring the pod to where it starts by itself; False to be called again.

        KubeSpawner's own deletes any pod it finds under the name, even the one that its own, timed-out request made.
        """
        return await self._pod_start.make(self.api.api_client.sanitize_for_serialization(pod))

    async def waits(self, found: Diagnosis) -> Refusal:
        """What the person reads when the session goes on waiting as a ticket; no failure for JupyterHub's counter."""
        ticket = self.ticket(await self.offers.look(0))
        return queued(parked(self._spec.flavour.title if self._spec else "", ticket, found))

    def ticket(self, seen: Seen) -> TicketOffer | None:
        """This server's ticket. The watch knows best whether there is one, the service where it stands."""
        known = ticket_of(seen, self.name)
        return ticket_in(self.reflected(), known) if self.pod_reflector else known

    async def poll(self) -> int | None:
        """As KubeSpawner, but a ticket does not run: a hub that finds one has nothing to wait for or to stop."""
        status: int | None = await super().poll()
        waits = status is None and not self.starting and self._pod_start.left(self.reflected())
        if status is None and not waits and self.server is not None and not self._waiting_for_response:
            self.last.ran(self.user_options, self._start_future, self.reflected())  # looked at before a stop, too
        return 0 if waits else status

    def get_state(self) -> dict[str, Any]:
        """As KubeSpawner, and what worked."""
        return {**super().get_state(), **self.last.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """The same, back."""
        self.last.load(state)
        super().load_state(state)

    async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002  KubeSpawner's signature
        """Stop the pod, and its Secret goes with it; a ticket stays, unless somebody stopped the start that made it."""
        pod = await self.objects.pod()
        if not self._pod_start.withdrawn and is_ticket(pod):
            self.log.info("Pod %s stays in the queue.", self.pod_name)
            return
        await super().stop(now)
        if pod is not None:
            tell(self, "session-stopped", pod["metadata"]["uid"])

    async def delete_forever(self) -> None:
        """The server, or its owner, is deleted: so is its ticket."""
        await self.objects.withdraw()
        await super().delete_forever()

    def is_pod_running(self, pod: Mapping[str, Any] | None) -> bool:
        """Whether the session answers; a start that cannot succeed, or takes too long, ends here with its reason."""
        uid = self._pod_start.uid
        if pod is not None and uid and pod["metadata"]["uid"] != uid:
            return False  # the watch still shows the pod of an earlier start
        if super().is_pod_running(pod):
            return True
        if self.starting and pod is not None:
            found = with_volume(self.platform, diagnose(pod, self.events))
            if found.final or time.monotonic() > self._patience_ends:
                self.last.failed(found.cause, self.user_options)
                raise failed(found)
        return False

    @property
    def starting(self) -> bool:
        """Whether a start is under way."""
        return self._start_future is not None and not self._start_future.done()

    def reflected(self) -> Pod | None:
        """The pod as the watch shows it, or None."""
        pods: dict[str, Pod] = self.pod_reflector.pods if self.pod_reflector else {}
        return pods.get(f"{self.namespace}/{self.pod_name}")

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the start waits for, as it changes, and Kubernetes' own events beside it."""
        await self._start_watching_events()
        async for message in progress(self):
            yield message

    async def diagnosis(self) -> Diagnosis:
        """What the session waits for; while it is in the queue, Kueue is asked."""
        pod = self.reflected()
        return with_volume(self.platform, diagnose(pod, self.events, await self.objects.workload(pod) if pod else None))

    async def way_out(self, found: Diagnosis) -> WayOut | None:
        """What to choose instead, while the session waits for its turn or for a node."""
        if self._spec is None or found.final or found.step not in ("queue", "node"):
            return None
        seen = await self.offers.look(5)
        return way_out(choices(self.platform, self.person), seen, self._spec, self.user_options)
