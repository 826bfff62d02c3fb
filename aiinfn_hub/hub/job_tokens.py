"""Which token of the IAM each job has that asked for one: it outlives the notebook, and ends with the job.

The service knows the jobs, and says again and again which ones are not over; only this process has the logins, so it
writes the tokens, and the service never sees one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from tornado import web

from aiinfn_hub.errors import AiinfnError, Forbidden, InvalidInput, NotFound
from aiinfn_hub.hub.issuing import Issuer, facts_of, files_of
from aiinfn_hub.hub.outbox import ServiceHandler
from aiinfn_hub.hub.session_objects import SessionObjects
from aiinfn_hub.identity.audit import Act, Fact
from aiinfn_hub.identity.broker import Issued
from aiinfn_hub.identity.hubapi import Lack, TokenJob, TokenJobs
from aiinfn_hub.identity.person import person_of

if TYPE_CHECKING:
    from aiinfn_hub.hub.authenticator import IamAuthenticator

#: A list that the service made before it told of a new job does not have it yet; seconds.
NEWS_S = 30.0
#: Jobs at the same time; the provider has a limit of its own for requests.
AT_ONCE = 10


@dataclass(frozen=True)
class Given:
    """What a job has: its token, None where it was taken away; `at` is when it was first told of (monotonic)."""

    job: TokenJob
    objects: SessionObjects
    issued: Issued | None
    at: float


class JobTokens:
    """The tokens of all jobs; what was issued is remembered while this process lives."""

    def __init__(self, rules: IamAuthenticator, issuer: Issuer, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules
        self._issuer = issuer
        self._clock = clock
        self._given: dict[str, Given] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def look_after(self, jobs: Collection[TokenJob], find: Callable[[str], Any]) -> dict[str, Lack]:
        """See to it that these jobs have good tokens; which ones have not, by run, and why.

        Args:
            jobs: whose tokens are wanted.
            find: JupyterHub's user of a name, or None.
        """
        # Asked once a person: there may be hundreds of jobs, and each question is one to the hub's database.
        users = {name: find(name) for name in {job.person for job in jobs}}

        async def one(job: TokenJob) -> tuple[str, Lack] | None:
            async with self._slots:
                try:
                    await self._keep_once(job, users[job.person])
                except AiinfnError as error:
                    level = logging.DEBUG if isinstance(error, Forbidden) else logging.WARNING
                    self._rules.log.log(level, "The job %s of %s has no new token: %s", job.run, job.person, error)
                    return job.run, Lack(error.code, error.message, error.hint)
            return None

        return dict(filter(None, await asyncio.gather(*(one(job) for job in jobs))))

    async def forget(self, alive: Iterable[TokenJob]) -> None:
        """End the tokens of all other jobs: these are the ones that are not over."""
        runs, now = {job.run for job in alive}, self._clock()
        for run, given in [*self._given.items()]:
            if run in runs or now - given.at < NEWS_S:
                continue
            del self._given[run]
            try:
                if given.issued is not None:
                    await self._end(given, given.issued, "The job is over.")
            except AiinfnError as error:
                self._rules.log.warning("The token of the job %s ends by itself: %s", run, error)

    async def _keep_once(self, job: TokenJob, user: Any) -> None:
        """The list and the news of a job may come together: the second one waits for the first."""
        task = self._working.get(job.run)
        if task is None:
            task = self._working[job.run] = asyncio.create_task(self._keep(job, user))
            task.add_done_callback(lambda _: self._working.pop(job.run))
        await task

    async def _keep(self, job: TokenJob, user: Any) -> None:
        policy = self._rules.platform.tokens
        if policy is None:
            raise InvalidInput("The platform gives no tokens of the IAM.")
        if user is None:
            raise NotFound(f"There is no user {job.person!r}.")
        known = self._given.get(job.run)
        if not (self._issuer.may_have(user.name) and self._may_charge(user, job.activity)):
            if known is not None and known.issued is not None:
                self._given[job.run] = Given(job, known.objects, None, known.at)
                await self._end(known, known.issued, "The person's login, or a group, is gone.")
            raise Forbidden(
                f"The login provider has refused you, or you are not in {job.activity} any more.", hint="Log in again."
            )
        issued = await self._issuer.next(user, policy, known.issued if known is not None else None)
        if issued is None:
            return
        objects = user.spawner.objects
        await objects.put_job_token(job.run, job.uid, files_of(issued))
        self._given[job.run] = Given(job, objects, issued, known.at if known is not None else self._clock())
        facts: dict[str, Fact] = {"job": job.run} | facts_of(issued)
        self._rules.outbox.put(Act(what="token-issued", about=user.name, why="The job asked for it.", facts=facts))

    def _may_charge(self, user: Any, activity: str) -> bool:
        groups = [group.name for group in user.groups]
        return activity in person_of(self._rules.platform, user.name, groups).activities

    async def _end(self, given: Given, issued: Issued, why: str) -> None:
        """Take the files away, and end the token, which somebody may have copied."""
        job = given.job
        self._rules.outbox.put(Act(what="token-taken", about=job.person, why=why, facts={"job": job.run}))
        try:
            await given.objects.put_job_token(job.run, job.uid, None)
        finally:
            # The login's own is not the job's to end.
            if self._rules.broker.exchanges:
                await self._rules.provider.revoke(issued.text)


class JobTokensHandler(ServiceHandler):
    """POST /hub/aiinfn/job-tokens: `TokenJobs` -> the `Lack` of each job that has no good token, by run."""

    async def post(self) -> None:
        """For the service alone.

        Raises:
            web.HTTPError: the caller has not the scope, or the body cannot be read.
        """
        self.prepare_service()
        try:
            asked = msgspec.json.decode(self.request.body, type=TokenJobs)
        except msgspec.MsgspecError as error:
            raise web.HTTPError(400, f"The body cannot be used: {error}.") from error
        tokens: JobTokens = self.authenticator.job_tokens
        lacking = await tokens.look_after(asked.jobs, self.find_user)
        if asked.all:
            await tokens.forget(asked.jobs)
        self.finish(msgspec.json.encode(lacking))


def handlers() -> list[tuple[Any, ...]]:
    """For `c.JupyterHub.extra_handlers`."""
    return [(r"/aiinfn/job-tokens", JobTokensHandler)]
