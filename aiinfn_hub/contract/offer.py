"""The offer: what one person can have now, asked by the form, the spawner and the notebook in one call."""

from __future__ import annotations

import msgspec

from aiinfn_hub.contract.jobs import Wire


class Expected(Wire, frozen=True):
    """When a unit is free for a session, in Unix seconds.

    From `early` to `late` in half of all cases like it, of which `cases` are known; None without enough of them. By
    `limit` if everything lasts as long as it may. With `gives_way` a job has one, and gives it back at once.
    """

    early: float | None = None
    late: float | None = None
    limit: float | None = None
    cases: int = 0
    gives_way: bool = False


class Reserved(Wire, frozen=True):
    """Units that only the sessions of an activity may hold from `begin` to `end` (Unix seconds).

    Without these, they are on nodes that an operator keeps for it, jobs included, for as long as that is so.
    `kept` are those of them that it does not hold yet, while it lasts: they are free, and for nobody else.
    """

    title: str
    activity: str
    units: int
    begin: float | None
    end: float | None
    kept: int = 0


class OnNodes(Wire, frozen=True):
    """An image is on the disk of `on` of `nodes` that could take a session; `size` in bytes there, 0 for unknown."""

    on: int
    nodes: int
    size: int = 0


class FlavourOffer(Wire, frozen=True):
    """One flavour as one person sees it.

    `free` and `total` count units of the flavour (a slice, a card, or CPU cores where the flavour has no accelerator).
    With `unknown_since` set (Unix seconds), they are the last numbers seen and must not be shown as free. `expected` is
    for who asks now, where nothing is free; None for not enough data. Up to `neighbours` others use the same device in
    turns. `reserved` is what the calendar has for the next days, `images` where the images of the
    list are, by name; empty where the nodes do not say.
    """

    flavour: str
    total: int
    free: int
    unit: str
    unknown_since: float | None = None
    reason: str = ""
    expected: Expected | None = None
    neighbours: int = 0
    reserved: list[Reserved] = msgspec.field(default_factory=list)
    images: dict[str, OnNodes] = msgspec.field(default_factory=dict)


class StockOffer(Wire, frozen=True):
    """Every flavour as everybody sees it, as of `at`; `version` is another one as soon as any of it is."""

    version: int
    at: float
    flavours: list[FlavourOffer]


class ActivityOffer(Wire, frozen=True):
    """What an activity has left, in weighted GPU-hours; None is no limit."""

    activity: str
    gpu_hours_used: float
    gpu_hours_quota: float | None = None


class QuotaOffer(Wire, frozen=True):
    """How a limit of GPU-hours stands for the person, weighted, in its window.

    `committed` is what runs and waits may use beyond `used`. It counts what is charged to `activities` (empty: all) on
    `flavours` (empty: all with an accelerator). `out_at` is when it is used up at the rate of the last week; None if it
    lasts.
    """

    name: str
    title: str
    gpu_hours: float
    window_days: int
    used: float
    committed: float = 0.0
    activities: list[str] = msgspec.field(default_factory=list)
    flavours: list[str] = msgspec.field(default_factory=list)
    out_at: float | None = None


class TicketOffer(Wire, frozen=True):
    """A session of the person's that waits in the queue, and starts by itself.

    `since` is when it was asked for (Unix seconds). `place` of `of` is where it stands among those of its queue; 0 when
    nobody knows. `admitted` says that the queue has let it in, and that its server is about to start.
    """

    uid: str
    server: str
    flavour: str
    activity: str
    since: float
    admitted: bool = False
    place: int = 0
    of: int = 0
    reason: str = ""
    next_step: str = ""
    expected: Expected | None = None


class Offer(Wire, frozen=True):
    """The whole of it, with the time of the oldest observation behind it; `tickets` are all of the person's."""

    person: str
    at: float
    flavours: list[FlavourOffer]
    activities: list[ActivityOffer]
    tickets: list[TicketOffer] = msgspec.field(default_factory=list)
    quotas: list[QuotaOffer] = msgspec.field(default_factory=list)
