"""The panel's handlers: who may see which page, and what it is rendered from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from tornado.web import RequestHandler, StaticFileHandler

from aiinfn_hub.accounting import months, refusals, reports, usage
from aiinfn_hub.accounting.reconcile import reconcile
from aiinfn_hub.accounting.signing import fingerprint
from aiinfn_hub.accounting.used import Used
from aiinfn_hub.accounting.witnesses import Disagreement
from aiinfn_hub.capacity.live import Reporter
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.contract.offer import QuotaOffer
from aiinfn_hub.errors import AiinfnError, Forbidden, InvalidInput, NotAuthenticated
from aiinfn_hub.identity import audit
from aiinfn_hub.identity.person import Person
from aiinfn_hub.panel import plot, views
from aiinfn_hub.store.engine import Database

DAY = 86400.0
#: Seconds that a look for disagreements is shown again: it reads whole months.
RECONCILE_S = 300.0
#: Seconds of closed months that the page has; the command has all.
MONTHS_S = 100 * DAY
#: Acts on one page of the audit.
PAGE = 100
HERE = Path(__file__).parent
#: Nothing but our own script and style; JupyterHub's style sheet comes from the same origin.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)


class Pages:
    """What the handlers share."""

    def __init__(
        self,
        *,
        database: Database,
        platform: Platform,
        reporter: Reporter,
        auth: HubOAuth,
        prefix: str,
        notices: Callable[[str], list[Notice]],
    ) -> None:
        self.database = database
        self.platform = platform
        self.reporter = reporter
        self.auth = auth
        self.prefix = prefix
        self.notices = notices
        self._used = Used(database)
        self._reconciled: tuple[float, list[Disagreement]] = (0.0, [])
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
        )

    async def usage(self, person: Person, now: float) -> dict[str, list[dict[str, Any]]]:
        """What each of the person's activities used in its own window, by flavour."""
        days = {name: self.platform.activity(name).window_days for name in person.activities}
        return await self._used.rows(days, now)

    async def used(self, person: Person, now: float) -> dict[str, float]:
        """The weighted GPU-hours of it."""
        rows = await self.usage(person, now)
        return {name: sum(row["weighted_gpu_hours"] for row in mine) for name, mine in rows.items()}

    async def quotas(self, person: Person, now: float) -> list[QuotaOffer]:
        """How the limits stand that the person meets."""
        return await self._used.quotas(self.platform, person.name, person.activities, now)

    async def reconciled(self, now: float) -> tuple[float, list[Disagreement]]:
        """Where the ledger's sources disagree in the last week and the last months, and when that was looked at."""
        if now - self._reconciled[0] >= RECONCILE_S:
            week, recent = now - 7 * DAY, now - MONTHS_S
            found = await self.database.read(reconcile, since=week, until=now, now=now, months_since=recent)
            self._reconciled = (now, found)
        return self._reconciled

    async def occupation(self, now: float, activity: str | None = None) -> dict[str, Any]:
        """The plot of the last 24 hours."""
        since = now - DAY
        series = await self.database.read(reports.occupation, since=since, until=now, steps=96, activity=activity)
        held = await self.database.read(reports.held_now, activity=activity)
        title = "Accelerator units held over the last 24 hours, by flavour"
        figure = plot.stacked(series, since=since, until=now, title=title)
        return {"figure": figure, "legend": plot.legend(series, held), "title": title}


class PageHandler(HubOAuthenticated, RequestHandler):
    """A page for a person with a browser; one who is not logged in is sent to the hub."""

    def initialize(self, pages: Pages) -> None:
        """Given by `routes`."""
        self.pages = pages
        self.hub_auth = pages.auth

    def set_default_headers(self) -> None:
        """Of errors too, which begin anew."""
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:
        """Find out who it is, before anything else."""
        identify: Any = self.settings["identify"]
        try:
            self.person: Person = (await identify(self)).person
        except NotAuthenticated:
            self.redirect(self.get_login_url())

    def only_operators(self) -> None:
        """Refuse everybody else.

        Raises:
            Forbidden: the person does not operate the platform.
        """
        if not self.person.admin:
            raise Forbidden("This page is for operators.", hint="Your own usage is under Me.")

    def show(self, template: str, **values: Any) -> None:
        """Render a page with what every page needs."""
        pages, person = self.pages, self.person
        tabs = [("", "Me"), ("jobs", "Jobs"), *((f"activity/{name}", name) for name in person.pi_of)]
        tabs += [("operator", "Operator"), ("ledger", "Ledger"), ("audit", "Audit")] if person.admin else []
        self.finish(
            pages.templates.get_template(template).render(
                prefix=pages.prefix, hub=pages.auth.hub_prefix, person=person, tabs=tabs, now=time.time(), **values
            )
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Our errors as a page: what happened, and what to do next."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if not hasattr(self, "person"):
            self.person = Person("", frozenset(), ())
        self.set_status(error.status if isinstance(error, AiinfnError) else status_code)
        if isinstance(error, AiinfnError):
            self.show("error.html", tab="", message=error.message, hint=error.hint)
        else:
            hint = "Try again in a moment; the service's log says more."
            self.show("error.html", tab="", message="This page could not be made.", hint=hint)


class MePage(PageHandler):
    """What I hold, what my activities have left, what I used."""

    async def get(self) -> None:
        """The first page."""
        now, pages, person = time.time(), self.pages, self.person
        rows = await pages.database.read(
            reports.records, since=now - 30 * DAY, until=now, person=person.name, limit=200
        )
        mine = await pages.database.read(
            usage.by_group, since=now - 30 * DAY, until=now, by=("kind",), person=person.name
        )
        self.show(
            "me.html",
            tab="",
            certainty=usage.certainty(mine),
            notices=pages.notices(person.name),
            rows=[views.row(record, now) for record in rows],
            budgets=[
                *views.budgets(pages.platform, await pages.usage(person, now)),
                *views.own_budgets(pages.platform, await pages.quotas(person, now)),
            ],
            **await pages.occupation(now),
        )


class ActivityPage(PageHandler):
    """For a PI: sums, names and flavours of the own activity."""

    async def get(self, activity: str) -> None:
        """One activity."""
        now, pages = time.time(), self.pages
        if activity not in self.person.pi_of and not self.person.admin:
            raise Forbidden(f"The activity {activity} is not yours to see.", hint="Its PI and the operators can.")
        found = pages.platform.activity(activity)
        window = found.window_days * DAY
        rows = await pages.database.read(
            usage.by_group, since=now - window, until=now, by=("person", "flavour", "kind"), activity=activity
        )
        self.show(
            "activity.html",
            tab=f"activity/{activity}",
            activity=found,
            usage=rows,
            refused=await pages.database.read(refusals.refused, since=now - window, until=now, activity=activity),
            certainty=usage.certainty(rows),
            budgets=views.budgets(pages.platform, {activity: rows}),
            **await pages.occupation(now, activity),
        )


class OperatorPage(PageHandler):
    """The map: one row a node, one box a device, and who holds it."""

    async def get(self) -> None:
        """The first screen of an operator."""
        self.only_operators()
        pages, now = self.pages, time.time()
        pods = list(pages.reporter.pods.items.values())
        self.show(
            "operator.html",
            tab="operator",
            nodes=views.node_map(pages.platform, pages.reporter.nodes.items.values(), pods),
            waiting=views.waiting(pods),
            unknown_since=pages.reporter.unknown_since,
            **await pages.occupation(now),
        )


class LedgerPage(PageHandler):
    """How far the ledger can be trusted, and what was asked for and not given."""

    async def get(self) -> None:
        """For operators."""
        self.only_operators()
        pages, now = self.pages, time.time()
        since = now - 30 * DAY
        rows = await pages.database.read(usage.by_group, since=since, until=now, by=("flavour",))
        refused = await pages.database.read(refusals.refused, since=since, until=now)
        looked_at, found = await pages.reconciled(now)
        closed = await pages.database.read(months.closed_months, since=now - MONTHS_S)
        self.show(
            "ledger.html",
            tab="ledger",
            demand=views.demand(pages.platform, rows, refused),
            certainty=usage.certainty(rows),
            found=found,
            looked_at=looked_at,
            closed=[(one, sorted(fingerprint(key) for key in one.signers if key)) for one in reversed(closed)],
        )


class AuditPage(PageHandler):
    """Who did what, the newest first."""

    async def get(self) -> None:
        """One page of it, of everybody or of one person."""
        self.only_operators()
        person, before = self.get_argument("person", "").strip(), self.get_argument("before", "")
        if before and not _is_time(before):
            raise InvalidInput(
                f"{before!r} is no time.", hint="It is in Unix seconds, as the link to older acts has it."
            )
        acts = await self.pages.database.read(
            audit.acts, person=person or None, before=float(before) if before else None, limit=PAGE
        )
        older = acts[-1].at if len(acts) == PAGE else None
        self.show("audit.html", tab="audit", acts=acts, about=person, first=not before, older=older)


class CallbackHandler(HubOAuthCallbackHandler):
    """Where the hub sends a browser back to after its login."""

    def initialize(self, pages: Pages) -> None:
        """Given by `routes`."""
        self.hub_auth = pages.auth


def _is_time(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def routes(prefix: str, *, pages: Pages) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """The panel below `prefix`."""
    given = {"pages": pages}
    return [
        (rf"{prefix}/?", MePage, given),
        (rf"{prefix}/activity/([a-z0-9-]+)", ActivityPage, given),
        (rf"{prefix}/operator", OperatorPage, given),
        (rf"{prefix}/ledger", LedgerPage, given),
        (rf"{prefix}/audit", AuditPage, given),
        (rf"{prefix}/oauth_callback", CallbackHandler, given),
        (rf"{prefix}/static/(.*)", StaticFileHandler, {"path": str(HERE / "static")}),
    ]
