from __future__ import annotations

import json
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag
from support.people import member_of, scientist
from support.small_platform import DIGEST, FLAVOURS, IMAGES, small_platform

from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.contract.offer import ActivityOffer, Expected, FlavourOffer, Offer, TicketOffer
from aiinfn_hub.errors import AiinfnError, InvalidInput
from aiinfn_hub.sessions.availability import Seen
from aiinfn_hub.sessions.form import Attempt, Starts, read_form, render, salvage
from aiinfn_hub.sessions.profiles import choices
from aiinfn_hub.sessions.records import again

PLATFORM = small_platform()
NOON = 1_764_000_000.0
SEEN = Seen(
    Offer(
        "mrossi",
        NOON,
        [
            FlavourOffer("cpu", 192, 64, "core"),
            FlavourOffer("t4", 8, 0, "unit"),
            FlavourOffer("a100-1g.5gb", 7, 3, "unit"),
        ],
        [ActivityOffer("lhcb", 28, 40)],
    ),
    NOON,
)


def page(
    options: dict[str, Any] | None = None,
    *,
    activities: tuple[str, ...] = ("lhcb",),
    seen: Seen = SEEN,
    refused: AiinfnError | None = None,
    platform: Any = PLATFORM,
    name: str = "mrossi",
    notice: str = "",
    ticket: TicketOffer | None = None,
) -> BeautifulSoup:
    person = member_of(platform, *activities, name=name)
    attempt = Attempt(options or {}, refused, notice)
    html = render(platform, person, choices(platform, person), seen=seen, attempt=attempt, ticket=ticket)
    return BeautifulSoup(html, "html.parser")


def one(soup: BeautifulSoup | Tag, selector: str) -> Tag:
    found = soup.select(selector)
    assert len(found) == 1, f"{selector}: {len(found)}"
    return found[0]


def text(soup: BeautifulSoup, selector: str) -> str:
    return " ".join(one(soup, selector).get_text().split())


def chosen(soup: BeautifulSoup, selector: str) -> list[str]:
    return [str(tag["value"]) for tag in soup.select(f"{selector} option[selected], {selector}[checked]")]


def submitted(soup: BeautifulSoup) -> dict[str, list[str]]:
    """What a browser posts when nothing is touched."""
    fields: dict[str, list[str]] = {}
    for tag in soup.select("input[name]:not([disabled])"):
        if tag.get("type") not in ("radio", "checkbox") or tag.has_attr("checked"):
            fields.setdefault(str(tag["name"]), []).append(str(tag.get("value", "")))
    for tag in soup.select("select[name]"):
        selected = tag.select("option[selected]") or tag.select("option")[:1]
        fields.setdefault(str(tag["name"]), []).append(str(selected[0]["value"]))
    return fields


# What is shown


def test_where_nothing_is_free_the_form_says_when() -> None:
    """Without the script the times are those of UTC, with their day."""
    noon = 1_764_072_000.0
    flavours = [
        FlavourOffer("t4", 8, 0, "unit", expected=Expected(noon, noon + 1800, noon + 9000, 23)),
        FlavourOffer("a100-1g.5gb", 7, 0, "unit", expected=Expected(limit=noon)),
    ]
    soup = page(seen=Seen(Offer("mrossi", noon, flavours, []), noon))
    assert (
        text(soup, "#free-t4") == "none free of 8: about Tue 25 Nov 12:00 UTC to Tue 25 Nov 12:30 UTC (from 23 cases)"
    )
    assert [time["datetime"] for time in soup.select("#free-t4 time")] == [
        "2025-11-25T12:00:00+00:00",
        "2025-11-25T12:30:00+00:00",
    ]
    assert text(soup, "[id='free-a100-1g.5gb']") == "none free of 7: by Tue 25 Nov 12:00 UTC at the latest"


def test_each_accelerator_says_what_is_free_and_what_it_costs() -> None:
    soup = page()
    assert text(soup, "#free-cpu") == "64 of 192 cores free"
    assert text(soup, "#free-t4") == "none free of 8: not enough data to say when"
    assert text(soup, '[id="free-a100-1g.5gb"]') == "3 of 7 free"
    assert text(soup, '[id="weight-a100-1g.5gb"]') == "1.0 GPU-h counts as 0.14"
    assert text(soup, "#weight-cpu") == ""


def test_the_memory_of_a_device_is_said_once() -> None:
    soup = page()
    assert text(soup, 'label[for="flavour-t4"]') == "NVIDIA T4 16 GB"
    assert text(soup, 'label[for="flavour-a100-1g.5gb"]') == "NVIDIA A100 slice <1g> & 5 GB"


def test_a_closed_accelerator_is_listed_with_the_group_that_opens_it() -> None:
    soup = page()
    assert one(soup, "#flavour-u55c").has_attr("disabled")
    assert "needs the group /aiinfn/fpga" in text(soup, "#free-u55c")


def test_without_an_answer_nothing_looks_free() -> None:
    soup = page(seen=Seen(SEEN.offer, NOON, "the service does not answer"))
    assert text(soup, "#free-t4") == "unknown since 16:00 UTC (the service does not answer)"
    assert " free" not in one(soup, "#field-flavour").get_text()
    assert one(soup, "#free-t4 time")["datetime"] == "2025-11-24T16:00:00+00:00"


def test_before_any_answer_the_reason_stands_alone() -> None:
    assert (
        text(page(seen=Seen(failing="the service does not answer")), "#free-t4")
        == "unknown (the service does not answer)"
    )


def test_the_activity_shows_what_is_left() -> None:
    assert text(page(), "#field-activity option") == "LHCb flash simulation (12.0 of 40 GPU-h left)"


def test_somebody_in_two_activities_is_asked_to_choose() -> None:
    soup = page(activities=("lhcb", "cms"))
    assert [option["value"] for option in soup.select("#field-activity option")] == ["", "lhcb", "cms"]
    assert chosen(soup, "#field-activity") == []


def test_hidden_images_are_not_offered() -> None:
    assert [o["value"] for o in page().select("select[name=environment-image] option")] == ["pytorch", "root"]


def test_ways_that_the_policy_closes_are_not_shown() -> None:
    soup = page(platform=small_platform(image_policy={}))
    assert soup.select("#environment-registry, #environment-apptainer") == []


TICKET = TicketOffer(
    uid="u-1",
    server="lab",
    flavour="a100-1g.5gb",
    activity="lhcb",
    since=NOON,
    place=2,
    of=3,
    reason="All of <these> are taken.",
    next_step="Another one may be free.",
)


def test_a_session_in_the_queue_stands_above_the_form() -> None:
    soup = page(ticket=TICKET)
    panel = one(soup, "#aiinfn-ticket")
    assert (panel["data-uid"], panel["data-server"]) == ("u-1", "lab")
    assert text(soup, "#aiinfn-ticket-headline") == "NVIDIA A100 slice <1g> & 5 GB, place 2 of 3"
    assert text(soup, "#aiinfn-ticket-reason") == "All of <these> are taken. Another one may be free."
    assert "It starts" not in text(soup, "#aiinfn-ticket-headline")
    assert "Asked for at 16:00 UTC" in text(soup, "#aiinfn-ticket")
    assert "close this page" in text(soup, "#aiinfn-ticket")
    assert one(soup, "#aiinfn-ticket-cancel").has_attr("hidden"), "it needs the script"
    assert soup.select("#aiinfn-ticket + .mb-3, #aiinfn-ticket ~ fieldset"), "the form is below"


def test_a_ticket_for_what_is_no_longer_offered_is_shown_by_its_name() -> None:
    gone = TicketOffer("u", "", "v100", "lhcb", NOON, admitted=True)
    assert text(page(ticket=gone), "#aiinfn-ticket-headline") == "v100, its turn has come"


def test_without_a_ticket_there_is_no_panel() -> None:
    assert page().select("#aiinfn-ticket") == []


def test_a_notice_stands_above_the_form() -> None:
    assert text(page(notice="A link filled this in."), "#aiinfn-notice") == "A link filled this in."


def test_the_example_that_we_ship_gives_a_form() -> None:
    platform = load_platform(example_path())
    soup = page(platform=platform, activities=("lhcb-flashsim", "fpga"))
    assert len(soup.select(".aiinfn-row")) == len(platform.flavours)
    assert soup.select("input[name=flavour][disabled]") == []


# What is filled in


def test_the_last_choice_is_filled_in() -> None:
    soup = page(
        {"flavour": "t4", "cpu": "4", "memory": "8Gi", "lifetime": "2h", "environment": "image:root", "volumes": ["s3"]}
    )
    assert chosen(soup, "input[name=flavour]") == ["t4"]
    assert chosen(soup, "#field-cpu") == ["4"]
    assert chosen(soup, "#field-memory") == ["8Gi"]
    assert chosen(soup, "#field-lifetime") == ["7200s"]
    assert chosen(soup, "select[name=environment-image]") == ["root"]
    assert chosen(soup, "input[name=volumes]") == ["s3"]


def test_a_free_reference_is_filled_in_its_field() -> None:
    soup = page({"environment": "registry:ghcr.io/infn/x:1"})
    assert chosen(soup, "input[name=environment]") == ["registry"]
    assert one(soup, "input[name=environment-registry]")["value"] == "ghcr.io/infn/x:1"


def test_a_saved_choice_that_is_gone_leaves_the_rest() -> None:
    soup = page({"flavour": "v100", "cpu": "4", "environment": "image:root"})
    assert chosen(soup, "input[name=flavour]") == ["cpu"]
    assert chosen(soup, "#field-cpu") == ["4"]
    assert chosen(soup, "select[name=environment-image]") == ["root"]


def test_a_replaced_image_is_filled_in_by_its_successor() -> None:
    assert chosen(page({"environment": "image:gone"}), "select[name=environment-image]") == ["pytorch"]


def test_a_hidden_image_that_was_used_stays_available() -> None:
    soup = page({"environment": "image:old"})
    assert chosen(soup, "select[name=environment-image]") == ["old"]
    assert "no longer in the list" in one(soup, "select[name=environment-image] option[selected]").get_text()


def test_a_lifetime_of_ones_own_is_added_to_the_list() -> None:
    assert chosen(page({"lifetime": "90m"}), "#field-lifetime") == ["5400s"]


def test_amounts_that_nobody_chose_are_those_of_the_accelerator() -> None:
    soup = page({"flavour": "t4"})
    assert [chosen(soup, f"#field-{name}") for name in ("cpu", "memory", "lifetime")] == [[""], [""], [""]]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="at first"),
        pytest.param({"flavour": "t4", "cpu": "4", "volumes": []}, id="after a session with T4 and no volumes"),
        pytest.param({"environment": "apptainer:/cvmfs/unpacked.infn.it/x"}, id="after an Apptainer session"),
    ],
)
def test_a_form_that_is_posted_untouched_means_what_it_shows(options: dict[str, Any]) -> None:
    person = scientist(PLATFORM)
    _, before, _ = salvage(PLATFORM, person, options)
    _, after, mistake = salvage(PLATFORM, person, read_form(submitted(page(options))))
    assert mistake is None
    assert before is not None
    assert after is not None
    assert (after.flavour, after.cpu_millis, after.image, after.apptainer, after.volumes) == (
        before.flavour,
        before.cpu_millis,
        before.image,
        before.apptainer,
        before.volumes,
    )


# Mistakes


def mistake(option: str, value: Any, **more: Any) -> tuple[dict[str, Any], AiinfnError]:
    options = {option: value, **more}
    _, _, error = salvage(PLATFORM, scientist(PLATFORM), options)
    assert error is not None
    return options, error


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("activity", "cms"),
        ("flavour", "u55c"),
        ("cpu", "3"),
        ("memory", "1Ti"),
        ("lifetime", "1y"),
        ("environment", "registry:evil.example/x"),
        ("volumes", ["nope"]),
    ],
)
def test_a_mistake_is_shown_at_its_field_and_at_the_top(option: str, value: Any) -> None:
    options, error = mistake(option, value)
    soup = page(options, refused=error)
    assert error.message in text(soup, "#aiinfn-error")
    assert one(soup, "#aiinfn-error")["role"] == "alert"
    assert one(soup, "#aiinfn-error a")["href"] == f"#field-{option}"
    field = one(soup, f"#field-{option}")
    assert field["aria-invalid"] == "true"
    assert f"mistake-{option}" in str(field["aria-describedby"])
    assert error.hint in text(soup, f"#mistake-{option}")


def test_a_mistake_in_a_folded_part_unfolds_it() -> None:
    options, error = mistake("volumes", ["nope"])
    assert one(page(options, refused=error), "details").has_attr("open")
    assert not one(page(), "details").has_attr("open")


def test_a_refused_reference_can_be_corrected() -> None:
    options, error = mistake("environment", "registry:evil.example/x")
    soup = page(options, refused=error)
    assert chosen(soup, "input[name=environment]") == ["registry"]
    assert one(soup, "input[name=environment-registry]")["value"] == "evil.example/x"


def test_a_mistake_without_a_field_is_shown_at_the_top_only() -> None:
    options, error = mistake("profile", "x")
    soup = page(options, refused=error)
    assert "There is no option 'profile'" in text(soup, "#aiinfn-error")
    assert soup.select("#aiinfn-error a, .aiinfn-mistake") == []


def test_several_mistakes_still_give_a_form() -> None:
    kept, spec, first = salvage(
        PLATFORM, scientist(PLATFORM), {"flavour": "x", "cpu": "x", "memory": "x", "odd": "x", "lifetime": "2h"}
    )
    assert kept == {"lifetime": "2h"}
    assert spec is not None
    assert first is not None


def test_somebody_who_must_choose_an_activity_still_gets_a_form() -> None:
    person = member_of(PLATFORM, "lhcb", "cms")
    kept, spec, first = salvage(PLATFORM, person, {"flavour": "t4"})
    assert (kept, spec) == ({"flavour": "t4"}, None)
    assert first is not None
    assert first.details["option"] == "activity"


# Escaping and accessibility

EVIL = '"><script>alert(1)</script>{{ 7*7 }}'


@pytest.mark.parametrize(
    ("options", "platform", "name"),
    [
        pytest.param({"environment": f"registry:{EVIL}"}, PLATFORM, "mrossi", id="in a reference"),
        pytest.param({"environment": f"{EVIL}:x"}, PLATFORM, "mrossi", id="in the kind of an environment"),
        pytest.param({"flavour": EVIL, "cpu": EVIL, "activity": EVIL}, PLATFORM, "mrossi", id="in names"),
        pytest.param({"volumes": [EVIL]}, PLATFORM, "mrossi", id="in a volume"),
        pytest.param({EVIL: "x"}, PLATFORM, "mrossi", id="in the name of an option"),
        pytest.param({}, PLATFORM, EVIL, id="in the person's name"),
        pytest.param(
            {}, small_platform(images=[{**IMAGES[0], "title": EVIL}]), "mrossi", id="in a title of the catalogue"
        ),
    ],
)
def test_nothing_that_is_typed_becomes_markup(options: dict[str, Any], platform: Any, name: str) -> None:
    _, _, error = salvage(platform, member_of(platform, "lhcb", name=name), options)
    soup = page(options, refused=error, platform=platform, name=name)
    assert len(soup.select("script")) == 3
    assert "alert(1)" not in "".join(tag.get_text() for tag in soup.select("script"))
    assert "49" not in text(soup, "#aiinfn-spawn")


def test_every_field_has_a_name_for_screen_readers() -> None:
    soup = page()
    for tag in soup.select("input:not([type=hidden]), select"):
        labels = soup.select(f'label[for="{tag["id"]}"]') if tag.has_attr("id") else []
        assert labels or tag.get("aria-label"), tag
    for fieldset in soup.select("fieldset"):
        assert one(fieldset, "legend").get_text().strip()


def test_every_reference_between_elements_has_its_target() -> None:
    options, error = mistake("environment", "registry:evil.example/x")
    soup = page(options, refused=error)
    ids = [str(tag["id"]) for tag in soup.select("[id]")]
    assert len(ids) == len(set(ids))
    for tag in soup.select("[aria-describedby]"):
        assert set(str(tag["aria-describedby"]).split()) <= set(ids)
    for tag in soup.select("label[for]"):
        assert tag["for"] in ids


def test_changes_are_told_politely_and_colour_is_never_alone() -> None:
    soup = page()
    assert one(soup, "#aiinfn-live")["aria-live"] == "polite"
    for cell in soup.select(".aiinfn-free"):
        assert cell.get_text().strip()


def test_the_page_loads_nothing_from_anywhere() -> None:
    html = str(page())
    assert "src=" not in html
    assert "//" not in "".join(str(tag.get("href", "")) for tag in page().select("[href]"))
    assert "http:" not in html


def test_the_script_knows_the_steps_of_each_flavour() -> None:
    data = json.loads(one(page(), "#aiinfn-data").get_text())
    assert data["a100-1g.5gb"]["cpu"] == ["2", "8"]
    assert data["t4"]["default"] == {"cpu": "2", "memory": "4Gi", "lifetime": "28800s"}
    assert data["u55c"]["activities"] == []


# Reading


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"flavour": ["t4"], "cpu": [""]}, {"flavour": "t4"}, id="empty fields are not given"),
        pytest.param({"cpu": [" 4 "]}, {"cpu": "4"}, id="spaces are cut"),
        pytest.param({"volumes": [""]}, {"volumes": []}, id="no volume is a choice"),
        pytest.param({"volumes": ["", "a", "b"]}, {"volumes": ["a", "b"]}, id="two volumes"),
        pytest.param(
            {"environment": ["image"], "environment-image": ["root"], "environment-registry": ["x"]},
            {"environment": "image:root"},
            id="the field of the chosen kind",
        ),
        pytest.param({"environment": ["registry"]}, {"environment": "registry:"}, id="a kind without its field"),
        pytest.param({"environment": ["image:root"]}, {"environment": "image:root"}, id="as a link writes it"),
        pytest.param({"_xsrf": ["x"]}, {}, id="the token of the form"),
        pytest.param({"a_file": [{"body": b""}]}, {"a_file": {"body": b""}}, id="a file is left to the validation"),
        pytest.param({"odd": ["x"]}, {"odd": "x"}, id="unknown names are left to the validation"),
    ],
)
def test_a_posted_form_becomes_options(fields: dict[str, list[Any]], options: dict[str, Any]) -> None:
    assert read_form(fields) == options


def test_an_option_that_is_given_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="2 times"):
        read_form({"flavour": ["cpu", "t4"]})


def test_the_form_says_how_an_image_of_a_path_runs_with_each_accelerator() -> None:
    flavours = [one | ({"capabilities": ["user-namespaces"]} if one["name"] == "t4" else {}) for one in FLAVOURS]
    carrier = IMAGES[-1] | {"labels": {"proot": "5.4", "apptainer": "1.4"}}
    platform = small_platform(flavours=flavours, images=[*IMAGES[:-1], carrier])
    soup = page({"flavour": "t4"}, platform=platform)
    assert text(soup, "#aiinfn-way").startswith("Apptainer itself runs it here")
    data = json.loads(one(soup, "#aiinfn-data").text)
    assert {name: found["apptainer"].split()[0] for name, found in data.items()} == {
        "cpu": "An",
        "t4": "Apptainer",
        "a100-1g.5gb": "An",
        "u55c": "An",
    }
    assert text(page(), "#aiinfn-way").startswith("An unpacked image runs here without any right")
    bare = page(platform=small_platform(images=IMAGES[:-1]))
    assert text(bare, "#aiinfn-way") == "The image of a registry that it was unpacked from starts here."


def test_an_image_as_it_was_once_is_chosen_and_said_so() -> None:
    soup = page({"environment": f"image:pytorch@{DIGEST}"})
    chosen = one(soup, "[name=environment-image] option[selected]")
    assert chosen["value"] == f"pytorch@{DIGEST}"
    assert chosen.text == "PyTorch 2.9, exactly pytorch (sha256:abababababab)"
    assert len(soup.select("[name=environment-image] option")) == 3, "and the one of today can be chosen"


def test_sessions_that_ran_are_links_that_fill_in_the_form() -> None:
    assert page().select("#aiinfn-again") == []
    person = member_of(PLATFORM, "lhcb")
    records = [{"options": {"flavour": "t4"}, "image": f"ghcr.io/infn/pytorch:2.9@{DIGEST}", "at": NOON}]
    starts = Starts(again=again(PLATFORM, person, records))
    html = render(PLATFORM, person, choices(PLATFORM, person), seen=SEEN, attempt=Attempt({}), starts=starts)
    soup = BeautifulSoup(html, "html.parser")
    link = one(soup, "#aiinfn-again a")
    assert link["href"] == f"?opt-flavour=t4&opt-environment=image%3Apytorch%40{DIGEST.replace(':', '%3A')}"
    assert "start again like an earlier session" in one(soup, "details summary").text
    assert " ".join(link.text.split()).startswith("Mon 24 Nov 16:00 UTC: NVIDIA T4, ")
