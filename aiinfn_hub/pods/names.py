"""Labels, annotations and names by which everything that we create in Kubernetes is found again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

PREFIX = "aiinfn.infn.it/"

KIND = PREFIX + "kind"
ACTIVITY = PREFIX + "activity"
FLAVOUR = PREFIX + "flavour"
PERSON = PREFIX + "person"
RUN = PREFIX + "run"
#: What a pod may do beyond the restricted standard, because its flavour may: an admission policy looks for it.
CAPABILITY = PREFIX + "capability"

#: The true user name; the label holds its slug, because a label value cannot hold every name.
PERSON_NAME = PREFIX + "person-name"
#: Name of the JupyterHub server; "" is the default one.
SERVER = PREFIX + "server"
#: How the activity was chosen ("the only one", "chosen"); accounting shows it when somebody asks.
ACTIVITY_REASON = PREFIX + "activity-reason"
#: Seconds after the start at which a session is asked whether it is still needed.
LIFETIME = PREFIX + "lifetime-s"

#: Digest of what was chosen: a session that waits in the queue is taken over by a start that asks for the same.
CHOICE = PREFIX + "choice"
#: Scheduling gate of our own. It stays when Kueue has let the pod in, and falls when the session's token is in place:
#: a pod with it is a ticket, for which nobody waits.
GATE = PREFIX + "session"

#: Of a Workload that we have put aside: why. One without it was put aside by an operator, and is not ours to take up.
HELD = PREFIX + "held"

#: Of a Workload whose eviction its owner rehearses: how far that is.
REHEARSAL = PREFIX + "rehearsal"

#: Of a node: when an operator wants it empty, as 2026-12-01T18:00:00Z. The sessions on it end then, with notice.
DRAIN_AT = PREFIX + "drain-at"

#: What the batch system of a site calls the job of a pod; the virtual kubelet of interLink sets it, and nobody else.
REMOTE_ID = "JobID"

#: Values of the label KIND.
SESSION, JOB = "session", "job"
#: And of the ConfigMaps of the runner's files, one for each version of them, with what their names begin with.
RUNNER, RUNNER_PREFIX = "runner", "aiinfn-runner-"

QUEUE = "kueue.x-k8s.io/queue-name"
PRIORITY = "kueue.x-k8s.io/priority-class"

#: WorkloadPriorityClasses; entitled by what runs, never typed by a person.
INTERACTIVE, BATCH = "interactive", "batch"

_MAX_SLUG = 48  # leaves room for prefixes and suffixes within the 63 characters of a DNS label
_SAFE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_HASHED = re.compile(r".*-[0-9a-f]{8}")
_UNSAFE_RUN = re.compile(r"[^a-z0-9]+")


def slug(text: str) -> str:
    """A DNS label and label value (at most 48 characters) that stands for `text` and for nothing else.

    A text that is safe already stays as it is. Any other is reduced to what is safe and gets eight hexadecimal
    digits of its SHA-256. A safe text that ends like such a slug is treated as unsafe, so that nobody can choose
    a name that is somebody else's slug.
    """
    if len(text) <= _MAX_SLUG and _SAFE.fullmatch(text) and not _HASHED.fullmatch(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = _UNSAFE_RUN.sub("-", text.lower()).strip("-")[: _MAX_SLUG - 9].strip("-")
    return f"{kept or 'x'}-{digest}"


def capabilities(of_flavour: Collection[str]) -> dict[str, str]:
    """The label of a pod whose flavour has a capability; there is one so far, and a label holds one."""
    return {CAPABILITY: "_".join(sorted(of_flavour))} if of_flavour else {}


def interactive_queue(activity: str) -> str:
    """The LocalQueue of an activity's sessions."""
    return f"{activity}-{INTERACTIVE}"


def batch_queue(activity: str) -> str:
    """The LocalQueue of an activity's jobs."""
    return f"{activity}-{BATCH}"
