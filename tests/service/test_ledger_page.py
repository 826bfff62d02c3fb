"""The operator's page of the ledger: what disagrees, what was refused, which months are sealed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from bs4 import BeautifulSoup
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.service import RunningService, running_service
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger, months, refusals, rollups
from aiinfn_hub.accounting.quotas import Ask
from aiinfn_hub.accounting.sighting import absent
from aiinfn_hub.accounting.signing import Signer, fingerprint
from aiinfn_hub.identity import audit
from aiinfn_hub.identity.audit import Act

H, DAY = 3600.0, 86400.0
SIGNER = Signer(Ed25519PrivateKey.generate())


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as running:
        running.hub.add("operator", "/aiinfn", "/aiinfn/admins")
        running.hub.add("pi", "/aiinfn", "/aiinfn/lhcb-flashsim", "/aiinfn/lhcb-flashsim/pi")
        yield running


async def page(service: RunningService, path: str = "/ledger", who: str = "operator") -> BeautifulSoup:
    async with service.person(f"token-of-{who}") as http:
        answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    return BeautifulSoup(answer.text, "html.parser")


def text(soup: BeautifulSoup) -> str:
    return " ".join(soup.get_text(" ").split())


@pytest.mark.asyncio
async def test_an_empty_ledger_says_so(service: RunningService) -> None:
    found = text(await page(service))
    assert "In the last 30 days: nothing was held." in found
    assert "Nothing: pods, hub, queue, runners and Prometheus say the same." in found
    assert "Nobody asked for an accelerator in that time." in found
    assert "No month of the last three is closed." in found


@pytest.mark.asyncio
async def test_what_disagrees_what_was_refused_and_what_is_sealed(service: RunningService) -> None:
    database, ago = service.service.database, time.time() - 2 * DAY
    start = ago - T0  # `life` counts from T0 on
    begin = rollups.begin_of("month", rollups.begin_of("month", ago) - DAY)
    old = life("old", start=begin - T0 + H, end=begin - T0 + 3 * H)
    await database.write(ledger.observe, [*old, *life("u1", start=start, end=start + 2 * H, flavour="t4", weight=0.4)])
    await database.write(ledger.observe, life("gone", start=start + H, end=start))
    started = [
        Act(what="session-started", about="alice", at=ago, facts={"server": "", "uid": uid}, id=uid)
        for uid in ("u1", "unseen")
    ]
    await database.write(audit.record, started)
    ask = Ask("session", "alice", "lhcb-flashsim", "t4", 1, 0.4, 8 * H)
    for _ in range(2):
        await database.write(refusals.note_refusal, ask, "flavour-t4", now=ago)
    await database.write(months.close, begin, by="anna", signer=SIGNER, now=time.time())
    soup = await page(service)
    assert {one["id"] for one in soup.select("details.disagreement")} == {"kind-quarantine", "kind-never-seen"}
    assert "its pod was never seen" in text(soup)
    assert "100.0 % observed, 0 min inferred. 1 in quarantine" in text(soup)
    [row] = [row for row in soup.select("tr") if "NVIDIA T4" in row.text]
    assert text(row) == "NVIDIA T4 89 % refused 0.8 0.0 6.4 2"
    assert row.progress is not None
    assert float(str(row.progress["value"])) == pytest.approx(88.9, abs=0.1)
    assert "anna 0 whole, " in text(soup)
    assert fingerprint(SIGNER.public) in text(soup)


@pytest.mark.asyncio
async def test_a_pi_sees_what_the_own_activity_did_not_get(service: RunningService) -> None:
    ask = Ask("job", "alice", "lhcb-flashsim", "t4", 1, 0.4, 10 * H)
    await service.service.database.write(refusals.note_refusal, ask, "activity-lhcb-flashsim", now=time.time() - H)
    await service.service.database.write(refusals.note_refusal, ask, "", now=time.time() - H)
    found = text(await page(service, "/activity/lhcb-flashsim", "pi"))
    assert "What was asked for and not given" in found
    assert "t4 jobs 1 4.00 another limit" in found
    assert "t4 jobs 1 4.00 activity-lhcb-flashsim" in found
    async with service.person("token-of-pi") as http:
        answer = await http.get("/api/accounting/usage", params={"activity": "lhcb-flashsim"})
    assert [(row["quota"], row["asks"]) for row in answer.json()["refused"]] == [("", 1), ("activity-lhcb-flashsim", 1)]


@pytest.mark.asyncio
async def test_every_sum_says_how_much_of_it_was_seen(service: RunningService) -> None:
    """A pod of which nobody knows whether it ended when it was last seen, or up to an hour later."""
    start = time.time() - DAY - T0
    await service.service.database.write(ledger.observe, life("u1", start=start, end=start + 2 * H, person="pi"))
    guessed = [
        seen("u2", at=start, held_from=start, person="pi"),
        seen("u2", at=start + H, held_from=start, person="pi"),
    ]
    await service.service.database.write(ledger.observe, [*guessed, absent("u2", now=T0 + start + 2 * H)])
    mine = text(await page(service, "", "pi"))
    assert "0.8 of 40 GPU-h in 30 days, 75.0 % observed" in mine
    assert mine.count("75.0 % observed, 60 min inferred.") == 1
