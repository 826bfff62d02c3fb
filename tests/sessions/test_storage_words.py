from __future__ import annotations

import pytest
from support.small_platform import VOLUMES, small_platform

from aiinfn_hub.sessions.storage_words import with_volume
from aiinfn_hub.sessions.symptoms import Diagnosis, recognised

CONTACTS = {"share": "storage@example.org", "public": "storage@example.org"}
PLATFORM = small_platform(volumes=[one | {"contact": CONTACTS.get(one["name"], "")} for one in VOLUMES])
OPERATOR = "Tell the platform's operator: this sentence is all they need."


@pytest.mark.parametrize(
    ("source", "text", "says", "ask"),
    [
        pytest.param(
            "scheduler",
            '0/4 nodes are available: persistentvolumeclaim "homes" not found.',
            "The storage homes does not exist. It is the volume home (/home/jovyan).",
            OPERATOR,
            id="a claim that is not there, and nobody is named",
        ),
        pytest.param(
            "scheduler",
            'persistentvolumeclaim "shares" not found',
            "It is one of the volumes share (/shared) and public (/public).",
            "Ask storage@example.org: this sentence is all they need.",
            id="one claim of two volumes",
        ),
        pytest.param(
            "mount",
            "Unable to attach or mount volumes: unmounted volumes=[volume-share], unattached volumes=[volume-share]: "
            "timed out waiting for the condition",
            "It is the volume share (/shared).",
            "Ask storage@example.org",
            id="a mount that takes too long",
        ),
        pytest.param(
            "mount",
            'MountVolume.SetUp failed for volume "volume-s3" : secret "s3-public" not found',
            "It is the volume s3 (/var/run/s3).",
            OPERATOR,
            id="a Secret",
        ),
    ],
)
def test_a_volume_is_named_as_people_know_it(source: str, text: str, says: str, ask: str) -> None:
    found = recognised(source, text)
    assert found is not None
    said = with_volume(PLATFORM, found)
    assert says in said.sentence
    assert said.next_step.startswith(ask)
    assert (said.cause, said.final) == (found.cause, found.final)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(Diagnosis("image-pull", "start", "No.", "Ask.", said="homes"), id="not about storage"),
        pytest.param(Diagnosis("mount", "start", "No.", "Ask.", said='volume "pvc-12-homes"'), id="a part of a name"),
        pytest.param(Diagnosis("mount", "start", "No.", "Ask."), id="no text"),
    ],
)
def test_what_is_about_no_volume_stays_as_it_is(found: Diagnosis) -> None:
    assert with_volume(PLATFORM, found) == found
