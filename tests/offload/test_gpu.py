from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.offload import platform

from aiinfn_hub.errors import AiinfnError, Forbidden, InvalidInput
from aiinfn_hub.offload.gpu import MAX_UNITS, allowed, choose_flavour

ACTIVITY = "lhcb-flashsim"


def chosen(gpu: str, activity: str = ACTIVITY) -> tuple[str, int]:
    flavour, units = choose_flavour(platform(), platform().activity(activity), gpu)
    return flavour.name, units


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        pytest.param("", ("cpu", 1), id="nothing is CPU only"),
        pytest.param("   ", ("cpu", 1), id="blanks are nothing"),
        pytest.param("a100-40", ("a100-40", 1), id="a flavour by name"),
        pytest.param("a100-40:2", ("a100-40", 2), id="a flavour and how many"),
        pytest.param("1", ("rtx5000", 1), id="a number is the lightest whole GPU"),
        pytest.param("2", ("rtx5000", 2), id="two of it"),
        pytest.param("1g.5gb", ("a100-40-1g.5gb", 1), id="a slice by its profile"),
        pytest.param("mig-1g.5gb", ("a100-40-1g.5gb", 1), id="a slice by the end of its resource"),
        pytest.param("mig-1g.5gb:3", ("a100-40-1g.5gb", 3), id="three slices"),
        pytest.param("24GB", ("a30", 1), id="a device with so much memory, decimal"),
        pytest.param("5Gi", ("a100-40-1g.5gb", 1), id="exactly so much memory fits"),
        pytest.param("30 GB", ("a100-80-3g.40gb", 1), id="the lightest of the next larger size, with a blank"),
    ],
)
def test_what_is_typed_means_a_flavour_and_units(gpu: str, expected: tuple[str, int]) -> None:
    assert chosen(gpu) == expected


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        pytest.param("a100-4", ["a100-4", "Did you mean 'a100-40'"], id="a typing mistake gets the nearest"),
        pytest.param("1g.6gb", ["Did you mean '1g.5gb'"], id="also for slices"),
        pytest.param("quantum", ["There are: t4"], id="something else gets the list"),
        pytest.param("0", [f"1 to {MAX_UNITS}"], id="no device"),
        pytest.param("65", [f"1 to {MAX_UNITS}"], id="more than any node has"),
        pytest.param("t4:0", [f"1 to {MAX_UNITS}"], id="none of a flavour"),
        pytest.param("t4:two", ["'two' is not a number"], id="a number in letters"),
        pytest.param("t4:", ["'' is not a number"], id="a colon and nothing"),
        pytest.param("t4:１", ["is not a number"], id="a digit of another script"),
        pytest.param("cpu:2", ["no accelerator to count"], id="two of nothing"),
        pytest.param("4TB", ["3.6", "The largest is"], id="more memory than any device has"),
    ],
)
def test_what_means_nothing_is_refused_with_a_way_out(gpu: str, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        chosen(gpu)
    for word in words[-1:]:
        assert word in str(refused.value)


def test_a_flavour_of_others_is_forbidden_and_says_whom_to_ask() -> None:
    with pytest.raises(Forbidden) as refused:
        chosen("u55c")
    assert "not for the activity lhcb-flashsim" in refused.value.message
    assert "Inference on FPGA (/aiinfn/fpga)" in refused.value.hint
    assert refused.value.details == {"activities": ["fpga"]}


def test_the_activity_that_a_flavour_names_may_use_it() -> None:
    assert chosen("u55c", "fpga") == ("u55c", 1)


def test_a_number_never_means_an_fpga() -> None:
    assert chosen("1", "fpga")[0] == "rtx5000"


@given(st.text(max_size=20))
def test_any_text_is_a_flavour_that_one_may_use_or_an_error_of_ours(gpu: str) -> None:
    activity = platform().activity(ACTIVITY)
    with suppress(AiinfnError):
        flavour, units = choose_flavour(platform(), activity, gpu)
        assert allowed(flavour, activity)
        assert 1 <= units <= MAX_UNITS


def test_a_cell_that_says_a_former_name_gets_the_flavour_of_now() -> None:
    known = platform()
    renamed = [one.model_copy(update={"formerly": ("a30-24",)}) if one.name == "a30" else one for one in known.flavours]
    now = known.model_copy(update={"flavours": tuple(renamed)})
    flavour, units = choose_flavour(now, now.activity(ACTIVITY), "a30-24:1")
    assert (flavour.name, units) == ("a30", 1)
