"""The environment of a container, as the kubelet makes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.errors import AiinfnError, InvalidInput, NotFound
from aiinfn_hub.local.agent.environment import Facts, expand, map_lines, resolve

POD = {
    "metadata": {
        "name": "p",
        "namespace": "aiinfn",
        "uid": "u-1",
        "labels": {"app": "x", "kueue.x-k8s.io/queue-name": "q"},
        "annotations": {"note": 'say "hi"\n'},
    },
    "spec": {"nodeName": "n1", "serviceAccountName": "default", "containers": []},
}
FACTS = Facts(POD, "127.77.0.1", "127.0.0.1", 4000, 8 * 2**30)


class Shelf:
    """ConfigMaps and Secrets from two dictionaries."""

    def __init__(self) -> None:
        self.secrets = {"mine": {"token": b"s3cret", "binary": b"\xff\xfe"}}
        self.config_maps = {"conf": {"A": b"1", "B": b"two"}}

    async def secret(self, name: str) -> dict[str, bytes]:
        if name not in self.secrets:
            raise NotFound(f'secret "{name}" not found')
        return self.secrets[name]

    async def config_map(self, name: str) -> dict[str, bytes]:
        if name not in self.config_maps:
            raise NotFound(f'configmap "{name}" not found')
        return self.config_maps[name]


def made(*env: dict[str, Any], **container: Any) -> dict[str, str]:
    return asyncio.run(resolve({"name": "main", "env": list(env), **container}, FACTS, Shelf()))


def var(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "value": value}


def ref(name: str, kind: str, of: str, key: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": {kind: {"name": of, "key": key, **more}}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("$(A)", "1", id="a variable"),
        pytest.param("x$(A)y$(B)", "x1y2", id="two variables"),
        pytest.param("$(NONE)", "$(NONE)", id="an unknown one stays"),
        pytest.param("$$(A)", "$(A)", id="an escaped one"),
        pytest.param("$$$(A)", "$1", id="an escaped dollar before one"),
        pytest.param("$A ${A}", "$A ${A}", id="the shell's own are left alone"),
        pytest.param("$(A", "$(A", id="an open one stays"),
        pytest.param("100$", "100$", id="a dollar at the end"),
        pytest.param("$()", "$()", id="no name"),
        pytest.param("$(LOOP)", "$(A)", id="what comes out is not expanded again"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2", "LOOP": "$(A)"}) == expected


@given(st.text(alphabet="$()AB{} x", max_size=30))
def test_expansion_without_variables_changes_only_double_dollars(text: str) -> None:
    assert expand(text, {}).count("$") <= text.count("$")
    if "$$" not in text:
        assert expand(text, {}) == text


def test_later_variables_see_earlier_ones_and_not_the_other_way() -> None:
    assert made(var("B", "$(A)"), var("A", "1"), var("C", "$(A)$(B)")) == {"B": "$(A)", "A": "1", "C": "1$(A)"}


def test_a_variable_without_a_value_is_empty() -> None:
    assert made({"name": "X"}) == {"X": ""}


def test_whole_config_maps_and_secrets_come_first_and_may_have_a_prefix() -> None:
    sources = [{"configMapRef": {"name": "conf"}}, {"prefix": "S_", "secretRef": {"name": "mine"}}]
    found = made(var("A", "own $(B)"), envFrom=sources)
    assert found["A"] == "own two"
    assert found["S_token"] == "s3cret"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param(ref("X", "secretKeyRef", "mine", "token"), "s3cret", id="a key of a secret"),
        pytest.param(ref("X", "configMapKeyRef", "conf", "B"), "two", id="a key of a config map"),
        pytest.param(ref("X", "secretKeyRef", "none", "k", optional=True), None, id="an optional secret"),
        pytest.param(ref("X", "secretKeyRef", "mine", "none", optional=True), None, id="an optional key"),
        pytest.param(ref("X", "configMapKeyRef", "none", "k", optional=True), None, id="an optional config map"),
    ],
)
def test_keys(env: dict[str, Any], expected: str | None) -> None:
    assert made(env).get("X") == expected


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (ref("X", "secretKeyRef", "none", "k"), 'secret "none" not found'),
        (ref("X", "configMapKeyRef", "none", "k"), 'configmap "none" not found'),
        (ref("X", "secretKeyRef", "mine", "none"), "couldn't find key none in Secret aiinfn/mine"),
        (ref("X", "configMapKeyRef", "conf", "none"), "couldn't find key none in ConfigMap aiinfn/conf"),
    ],
)
def test_what_is_missing_is_said_as_the_kubelet_says_it(env: dict[str, Any], said: str) -> None:
    with pytest.raises(NotFound) as caught:
        made(env)
    assert caught.value.message == said


@pytest.mark.parametrize("optional", [True, False])
def test_a_missing_whole_source_is_refused_unless_optional(optional: bool) -> None:
    source = [{"secretRef": {"name": "none", "optional": optional}}]
    if optional:
        assert made(envFrom=source) == {}
    else:
        with pytest.raises(NotFound):
            made(envFrom=source)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "aiinfn"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "x"),
        ("metadata.labels['kueue.x-k8s.io/queue-name']", "q"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['note']", 'say "hi"\n'),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "127.77.0.1"),
        ("status.hostIP", "127.0.0.1"),
        ("metadata.labels", 'app="x"\nkueue.x-k8s.io/queue-name="q"'),
        ("metadata.annotations", 'note="say \\"hi\\"\\n"'),
    ],
)
def test_fields_of_the_pod(path: str, expected: str) -> None:
    assert FACTS.field(path) == expected


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"unsupported fieldPath: spec\.secrets"):
        made({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.secrets"}}})


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        pytest.param("limits.cpu", "1", "2", id="part of a core is rounded up"),
        pytest.param("limits.cpu", "1m", "1500", id="in millicores"),
        pytest.param("limits.memory", "1Mi", "512", id="in MiB"),
        pytest.param("limits.memory", "0", str(512 * 2**20), id="without a divisor"),
        pytest.param("requests.cpu", "1m", "500", id="a request"),
        pytest.param("requests.memory", "1Mi", "512", id="a request that follows from the limit"),
        pytest.param("limits.ephemeral-storage", "1", "0", id="what nobody limits"),
    ],
)
def test_resources_of_the_container(resource: str, divisor: str, expected: str) -> None:
    container = {"resources": {"limits": {"cpu": "1500m", "memory": "512Mi"}, "requests": {"cpu": "500m"}}}
    assert FACTS.resource(container, resource, divisor) == expected


def test_without_a_limit_it_is_the_nodes() -> None:
    assert FACTS.resource({}, "limits.cpu") == "4"
    assert FACTS.resource({}, "limits.memory", "1Gi") == "8"


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"name": "X", "valueFrom": {"fileKeyRef": {}}}, id="a source that it does not know"),
        pytest.param({"name": "X", "valueFrom": {}}, id="no source"),
        pytest.param({"name": "A=B", "value": "x"}, id="a name with an equals sign"),
        pytest.param({"name": "", "value": "x"}, id="no name"),
        pytest.param({"name": "X", "value": "a\0b"}, id="a null byte"),
        pytest.param({"name": "X", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}, id="a resource"),
    ],
)
def test_what_cannot_be_is_refused(env: dict[str, Any]) -> None:
    with pytest.raises(AiinfnError):
        made(env)


def test_bytes_that_are_no_text_reach_the_process_unchanged() -> None:
    found = made(ref("X", "secretKeyRef", "mine", "binary"))
    assert found["X"].encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_labels_in_a_file_are_sorted_and_escaped() -> None:
    assert map_lines({"b": "2", "a": 'x"y'}) == 'a="x\\"y"\nb="2"'
