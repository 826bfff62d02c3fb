"""Which of the session's volumes are full, before somebody loses what they wanted to save."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping

import msgspec

from aiinfn_hub.contract.life import VOLUMES_VARIABLE, MountedVolume
from aiinfn_hub.contract.notices import Notice
from aiinfn_labext.space import words

#: A volume is short of room when this share of it is free, and less than so many bytes.
SHARE, BYTES = 0.02, 5 * 10**9
#: Of what counts as full: a notebook with its plots still fits in more.
FULL = 20 * 10**6


def volumes(environ: Mapping[str, str]) -> list[MountedVolume]:
    """What the session may write to, as its pod was told."""
    try:
        return msgspec.json.decode(environ.get(VOLUMES_VARIABLE, "[]"), type=list[MountedVolume])
    except msgspec.MsgspecError as error:
        logging.getLogger("aiinfn.volumes").warning("%s cannot be read: %s", VOLUMES_VARIABLE, error)
        return []


def short_of_room(known: Iterable[MountedVolume]) -> list[Notice]:
    """What the person reads of those that are full, or soon will be. It blocks as long as the file system does.

    What `df` says counts: a quota that the file system does not show there is not seen.
    """
    notices = []
    for volume in known:
        try:
            total, _, free = shutil.disk_usage(volume.mount)
        except OSError:
            continue
        if free < max(FULL, min(SHARE * total, BYTES)) and free < total:
            notices.append(_notice(volume, free))
    return notices


def _notice(volume: MountedVolume, free: int) -> Notice:
    mine, full = volume.kind == "home", free < FULL
    what = "Your home" if mine else f"The volume {volume.name} ({volume.mount})"
    lost = "What you save is lost, and the next session may not start." if mine else "What you save there is lost."
    ask = f" Or ask {volume.contact}." if volume.contact else ""
    return Notice(
        id=f"volume-{volume.name}-{'full' if full else 'short'}",
        level="error" if full else "warning",
        title=f"{what} is full: {words(free)} are free." if full else f"{what} is almost full: {words(free)} are free.",
        text=f"{lost if full else 'Soon nothing can be saved there.'} Delete what is not needed any more.{ask}",
        since=0.0,
    )
