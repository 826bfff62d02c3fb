"""Which volumes a pod may have and which folders of them: the catalogue's, cut to the person and the activity. Pure."""

from __future__ import annotations

from aiinfn_hub.catalogue.models import Platform, Volume
from aiinfn_hub.install.expressions import Rule, text, texts
from aiinfn_hub.pods import folders as made_folders
from aiinfn_hub.pods import names
from aiinfn_hub.pods.iam_token import SUFFIX
from aiinfn_hub.pods.storage import storage

_KINDS = ("configMap", "secret", "emptyDir", "persistentVolumeClaim")


def folders(platform: Platform) -> str:
    """CEL for what may be mounted of claims: "volume|folder", with person and activity of the pod filled in."""
    found = [_filled(f"{name}|{volume.sub_path}") for name, volume in _claimed(platform)]
    return f"[{', '.join(found)}]"


def storage_rules(platform: Platform) -> list[Rule]:
    """Kinds of volumes, claims, folders, and whose Secrets and ConfigMaps."""
    return [*_claims(platform), *_objects(platform)]


def _claims(platform: Platform) -> list[Rule]:
    known = " || ".join(f"has(x.{kind})" for kind in _KINDS)
    claim = (
        'x.name + "|" + x.persistentVolumeClaim.claimName'
        ' + (x.persistentVolumeClaim.?readOnly.orValue(false) ? "|ro" : "")'
    )
    claims = texts(f"{name}|{volume.claim}{'|ro' if volume.read_only else ''}" for name, volume in _claimed(platform))
    return [
        Rule(
            "wrong_volumes",
            f"variables.volumes.map(x, !({known}), x.name)",
            "Volumes of a kind that no session and no job has",
        ),
        Rule(
            "wrong_claims",
            f"variables.volumes.map(x, has(x.persistentVolumeClaim) && !({claim} in {claims}), x.name)",
            "Volumes of claims that are not as the platform file has them",
        ),
        Rule(
            "wrong_folders",
            f"variables.containers.map(c, {_no_maker(platform)}"
            f"c.?volumeMounts.orValue([]).exists(m, {_strange_folder(platform)}), c.name)",
            "A folder that is not this person's or this activity's is mounted by containers",
        ),
    ]


def _objects(platform: Platform) -> list[Rule]:
    """A job has its own Secrets and ConfigMap, and the runner; tokens of a session have the pod's name in theirs."""
    shared = texts(volume.secret for volume in platform.volumes if volume.kind == "object-store")
    own = f'(variables.kind == "{names.JOB}" ? ["job-" + variables.run] : [])'
    token = f'[variables.kind == "{names.JOB}" ? "job-" + variables.run + "{SUFFIX}" : variables.own_iam_token]'
    secret = f'has(x.secret) && !(x.secret.?secretName.orValue("") in {shared} + {own} + {token})'
    runner = f'variables.kind == "{names.JOB}" && x.configMap.?name.orValue("").startsWith("{names.RUNNER_PREFIX}")'
    config = f'has(x.configMap) && !(x.configMap.?name.orValue("") in {own}) && !({runner})'
    environment = (
        "has(c.envFrom) || c.?env.orValue([]).exists(e, has(e.valueFrom) && (has(e.valueFrom.configMapKeyRef)"
        " || e.valueFrom.?secretKeyRef.?name.orValue(variables.own_token) != variables.own_token))"
    )
    return [
        Rule(
            "wrong_objects",
            f"variables.volumes.map(x, ({secret}) || ({config}), x.name)",
            "Secrets or ConfigMaps of others are shown by volumes",
        ),
        Rule(
            "wrong_environment",
            f"variables.containers.map(c, {environment}, c.name)",
            "Secrets or ConfigMaps of others are in the environment of containers",
        ),
    ]


def maker(platform: Platform, kind: str = "") -> str:
    """CEL for whether the container `c` is exactly one that makes a folder of this pod; "" where there is none.

    `kind` is that of the volume, "" for any.
    """
    if platform.posix is None:
        return ""
    every = [volume for volume in made_folders.made(platform) if kind in ("", volume.kind)]
    return " || ".join(_is_maker(platform.posix.image, volume) for volume in every)


def _no_maker(platform: Platform) -> str:
    makers = maker(platform)
    return f"!({makers}) && " if makers else ""


def _is_maker(image: str, volume: Volume) -> str:
    """Nothing that could have it do anything else: no variable, no hook, no folder but the one above."""
    folder, word = made_folders.arguments(volume, made_folders.folder(volume))
    mount = made_folders.mount(volume)
    good = (
        f"c.name == {text(made_folders.name_of(volume))}",
        f"c.image == {text(image)}",
        f"c.?command.orValue([]) == {texts(made_folders.COMMAND)}",
        f"c.?args.orValue([]) == [{_filled(folder)}, {text(word)}]",
        *(f"size(c.?{field}.orValue([])) == 0" for field in ("env", "envFrom", "ports", "volumeDevices")),
        *(f"!has(c.{field})" for field in ("lifecycle", "restartPolicy")),
        'c.?workingDir.orValue("") == ""',
        "size(c.?volumeMounts.orValue([])) == 1",
        f"c.volumeMounts[0].name == {text(mount['name'])}",
        f"c.volumeMounts[0].mountPath == {text(mount['mountPath'])}",
        f'c.volumeMounts[0].?subPath.orValue("") == {text(mount.get("subPath", ""))}',
        "!has(c.volumeMounts[0].subPathExpr)",
    )
    return f"({' && '.join(good)})"


def _claimed(platform: Platform) -> list[tuple[str, Volume]]:
    """The volumes that are claims, each with its name in a pod."""
    every = [volume.name for volume in platform.volumes]
    made, _ = storage(platform, "anybody", platform.activities[0], every)
    pairs = zip(made, platform.volumes, strict=True)
    return [(one["name"], volume) for one, volume in pairs if "persistentVolumeClaim" in one]


def _filled(folder: str) -> str:
    """CEL for the folder: the label of the person is the person's slug, as in the path."""
    written = text(folder)
    for key, variable in (("{person}", "person"), ("{activity}", "share")):
        written = written.replace(key, f'" + variables.{variable} + "')
    return written


def _strange_folder(platform: Platform) -> str:
    claimed = texts(name for name, _ in _claimed(platform))
    folder = 'm.name + "|" + m.?subPath.orValue("")'
    return f"m.name in {claimed} && (has(m.subPathExpr) || !({folder} in variables.folders))"
