"""Nobody reads what is somebody else's: every route of the ledger, for every role (security rule 17)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.fakehub import ACCESS
from support.service import RunningService, running_service
from support.sightings import T0, life

from aiinfn_hub.accounting import ledger
from aiinfn_hub.identity.roles import LEAD

pytestmark = pytest.mark.asyncio(loop_scope="module")
WINDOW = {"since": T0 - 3600, "until": T0 + 7200}
LHCB, CMS = "/aiinfn/lhcb-flashsim", "/aiinfn/cms-ml"
#: Token -> groups and scopes of who shows it; "" are the scopes of a login.
VIEWERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "alice": ((LHCB,), ()),
    "pi": ((LHCB, f"{LHCB}/pi"), ()),
    "pi-of-cms": ((CMS, f"{CMS}/pi"), ()),
    "pi-below": ((f"{LHCB}/pi/trainees",), ()),
    "operator": (("/aiinfn/admins",), ()),
    "session-of-pi": ((LHCB, f"{LHCB}/pi"), (ACCESS, "access:servers!server=session-of-pi/")),
    "report-of-pi": ((LHCB, f"{LHCB}/pi"), (ACCESS, f"{LEAD}!group={LHCB}")),
    "report-for-others": ((LHCB, f"{LHCB}/pi"), (ACCESS, f"{LEAD}!group={CMS}")),
}
OWN, ALL, LHCBS = "their own", "everybody", "of lhcb-flashsim"
MAY = ("pi", "report-of-pi", "operator")
#: What answers a stranger: whether the service lives, what it can be asked, and the way back from a login.
PUBLIC = {"/api/health", "/api/openapi.json", "/oauth_callback"}
#: What is asked for, and what each role gets of it; everybody else is refused.
ASKED: list[tuple[dict[str, str], dict[str, str]]] = [
    ({}, dict.fromkeys(VIEWERS, OWN) | {"operator": ALL}),
    ({"person": "bob"}, {"operator": "bob"}),
    ({"activity": "lhcb-flashsim"}, dict.fromkeys(VIEWERS, OWN) | dict.fromkeys(MAY, LHCBS)),
    ({"activity": "lhcb-flashsim", "person": "bob"}, dict.fromkeys(MAY, "bob")),
    ({"activity": "cms-ml", "person": "carol"}, dict.fromkeys(("pi-of-cms", "operator"), "carol")),
    ({"activity": "lhcb", "person": "bob"}, {"operator": "nobody"}),
]
FOR_OPERATORS = ("/operator", "/ledger", "/audit", "/api/audit", "/api/accounting/reconcile")
PEOPLE = {"bob", "carol", *VIEWERS}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningService]:
    async with running_service(Path(tmp_path_factory.mktemp("service"))) as running:
        lives = [life(person, person=person) for person in sorted(PEOPLE - {"carol"})]
        await running.service.database.write(ledger.observe, [one for stream in lives for one in stream])
        await running.service.database.write(ledger.observe, life("carol", person="carol", activity="cms-ml"))
        for name, (groups, scopes) in VIEWERS.items():
            options: dict[str, Any] = {"scopes": scopes} if scopes else {}
            running.hub.add(name, "/aiinfn", *groups, **options)
        yield running


def expected(viewer: str, what: str) -> set[str]:
    known = {OWN: {viewer}, ALL: PEOPLE, LHCBS: PEOPLE - {"carol"}, "nobody": set()}
    return known.get(what, {what})


@pytest.mark.parametrize("viewer", VIEWERS)
@pytest.mark.parametrize(("asked", "answers"), ASKED, ids=[" ".join(one.values()) or "all" for one, _ in ASKED])
@pytest.mark.parametrize("route", ["records", "usage"])
async def test_records_and_sums(
    service: RunningService, route: str, asked: dict[str, str], answers: dict[str, str], viewer: str
) -> None:
    query = {**WINDOW, **asked} | ({"by": "person"} if route == "usage" else {})
    async with service.person(f"token-of-{viewer}") as http:
        answer = await http.get(f"/api/accounting/{route}", params=query)
    if viewer not in answers:
        assert answer.status_code == 403, answer.text
        return
    found = answer.json()
    assert {row["person"] for row in found[route]} == expected(viewer, answers[viewer])
    if route == "usage":
        assert found["coverage"] == (1.0 if found["usage"] else None)


@pytest.mark.parametrize("viewer", VIEWERS)
async def test_a_pi_sees_no_more_of_a_record_than_the_columns_for_one(service: RunningService, viewer: str) -> None:
    async with service.person(f"token-of-{viewer}") as http:
        query = {**WINDOW, "activity": "lhcb-flashsim", "person": "bob"}
        answer = await http.get("/api/accounting/records", params=query)
    if viewer in ("pi", "report-of-pi"):
        assert not {"server", "run_id", "pod_name", "node", "exit_code"} & set(answer.json()["records"][0])
    else:
        assert ("server" in answer.text) == (viewer == "operator")


@pytest.mark.parametrize("viewer", VIEWERS)
async def test_what_an_activity_holds_is_for_who_leads_it(service: RunningService, viewer: str) -> None:
    async with service.person(f"token-of-{viewer}") as http:
        answers = [
            (await http.get("/api/accounting/occupation", params={**WINDOW, **asked})).status_code
            for asked in ({}, {"activity": "lhcb-flashsim"}, {"activity": "cms-ml"})
        ]
    mine = 200 if viewer in MAY else 403
    assert answers == [200, mine, 200 if viewer in ("pi-of-cms", "operator") else 403]


@pytest.mark.parametrize("route", ["records", "usage", "occupation", "reconcile"])
async def test_what_is_to_come_is_no_window(service: RunningService, route: str) -> None:
    """An open record would have held its units for less than nothing."""
    async with service.person("token-of-operator") as http:
        answer = await http.get(f"/api/accounting/{route}", params={"since": 4e9, "until": 5e9})
    assert (answer.status_code, "empty" in answer.text) == (400, True)


@pytest.mark.parametrize("viewer", VIEWERS)
async def test_pages_of_an_activity_and_of_operators_are_for_those(service: RunningService, viewer: str) -> None:
    async with service.person(f"token-of-{viewer}") as http:
        answers = [
            (await http.get(page)).status_code
            for page in ("/", "/activity/lhcb-flashsim", "/activity/cms-ml", *FOR_OPERATORS)
        ]
    mine, others = (200 if viewer in may else 403 for may in (MAY, ("pi-of-cms", "operator")))
    operators = 200 if viewer == "operator" else 403
    assert answers == [200, mine, others, *(operators for _ in FOR_OPERATORS)]


@pytest.mark.parametrize("token", ["", "token-of-nobody"])
async def test_strangers_see_nothing_on_any_route(service: RunningService, token: str) -> None:
    prefix, seen = service.service.config.prefix, []
    async with service.person(token) as http:
        for rule in service.service.application.wildcard_router.rules:
            path = str(rule.matcher.reverse(*["x"] * (rule.matcher._group_count or 0))).removeprefix(prefix)
            answer = await http.get(path, follow_redirects=False)
            seen.append(path)
            login = answer.status_code == 302 and "oauth2/authorize" in answer.headers["Location"]
            assert path in PUBLIC or "/static/" in path or login or answer.status_code in (401, 403, 404, 405), path
    assert {"/api/accounting/records", "/api/audit", "/api/jobs/x", "/operator"} <= set(seen), seen
