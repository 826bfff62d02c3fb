"""Jobs that asked for a token of the IAM: the hub is told which, and writes, renews and ends the tokens.

The token is in a Secret that goes with the Job. It never comes here: this process is the one that notebooks reach.
"""

from __future__ import annotations

import asyncio
import logging

from aiinfn_hub.errors import AiinfnError, Forbidden, Unavailable
from aiinfn_hub.identity.hubapi import HubApi, TokenJob, TokenJobs
from aiinfn_hub.offload import runs
from aiinfn_hub.offload.reasons import TOKENLESS
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.store.engine import Database

#: Seconds between two lists.
EVERY_S = 20.0


class JobTokens:
    """Speaks with the hub about the tokens of jobs."""

    def __init__(self, database: Database, hub: HubApi, *, every_s: float = EVERY_S) -> None:
        self._database = database
        self._hub = hub
        self._every_s = every_s
        self._log = logging.getLogger("aiinfn.tokens")

    async def first(self, run: Run, job_uid: str) -> None:
        """Have the token written of a job that is put in place, if it asked for one.

        Raises:
            Unavailable: the hub, or the IAM, does not answer.
            Forbidden: the person can have none; the message says why.
        """
        if not run.wanted.token:
            return
        job = TokenJob(run.id, run.owner, run.activity, job_uid)
        lack = (await self._hub.job_tokens(TokenJobs(jobs=[job]))).get(run.id)
        if lack is None:
            return
        kind = Unavailable if lack.code == Unavailable.code else Forbidden
        raise kind(f"{TOKENLESS}: {lack.message}", hint=lack.hint)

    async def run(self) -> None:
        """Tell the hub for ever which jobs are not over."""
        while True:
            try:
                await self.tell()
            except AiinfnError as error:
                self._log.warning("The hub is told later which jobs have tokens: %s", error)
            await asyncio.sleep(self._every_s)

    async def tell(self) -> None:
        """Once, also when there are none: the last one's token has to end.

        Raises:
            Unavailable: hub or database do not answer.
        """
        active = await self._database.read(runs.active)
        wanted = [run for run in active if run.job_uid and run.wanted.token]
        jobs = [TokenJob(run.id, run.owner, run.activity, run.job_uid) for run in wanted]
        await self._hub.job_tokens(TokenJobs(jobs=jobs, all=True))
