"""Our errors and diagnoses as JupyterHub shows them: a 4xx with a sentence and a next step."""

from __future__ import annotations

from jupyterhub.spawner import SpawnException
from markupsafe import Markup

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.sessions.symptoms import Diagnosis

#: Reason of the refusal of a session that waits in the queue.
QUEUED = "queued"


class Refusal(SpawnException):
    """A session that is not started, with the sentence that the person reads.

    JupyterHub shows `jupyterhub_message` on its pages and in REST answers; without it, the class's name and status.
    """

    def __init__(self, message: str, *, reason: str, status: int = 400, shown: bool = True) -> None:
        super().__init__(message, reason=reason, status_code=status)
        self.jupyterhub_message = message if shown else ""


def refusal(error: AiinfnError, *, shown: bool = True) -> Refusal:
    """For one of our errors; not `shown` where our own form shows it at its field."""
    return Refusal(str(error), reason=error.code, status=error.status, shown=shown)


def queued(sentence: str) -> Refusal:
    """For a session that goes on waiting in the queue without JupyterHub, which has no word for it but a refusal.

    202: what was asked for will be done. Our pages know it by the class in the HTML.
    """
    refused = Refusal(sentence, reason=QUEUED, status=202)
    refused.jupyterhub_html_message = Markup('<span class="aiinfn-queued">{}</span>').format(sentence)
    return refused


def failed(found: Diagnosis) -> Refusal:
    """For a start that cannot succeed, or did not in time."""
    return Refusal(f"{found.sentence} {found.next_step}".strip(), reason=found.cause, status=409)
