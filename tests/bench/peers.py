"""The cheapest and the usual way to do the same: the same pods as raw JSON, as typed objects, and as naive metrics."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from bench.figures import Figure
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api
from kubernetes_asyncio.config import load_kube_config
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.kube.slim import Pod, decode_pod

#: Typed objects cost 60 KiB and 5 ms each: so many are made, and what they take is multiplied.
SAMPLE = 1000
_MS = 1000


async def lists(kubeconfig: Path) -> tuple[list[Figure], list[Pod]]:
    """Every pod, listed in three ways; CPU seconds of this process, which does nothing else."""
    client = await KubeClient.connect(kubeconfig)
    try:
        began, wall = time.process_time(), time.monotonic()
        texts, _ = await client.list_raw(PODS)
        fetched = time.process_time()
        pods = [decode_pod(text) for text in texts]
        ours, wall = time.process_time() - began, time.monotonic() - wall
        decoding = time.process_time() - fetched
    finally:
        await client.close()
    count = len(texts)
    raw, raw_wall = await _raw(kubeconfig)
    typed = await _typed(kubeconfig, count)
    kept = _size(texts, decode_pod)
    plain = _size(texts[:SAMPLE], json.loads)
    return [
        Figure("a pod's JSON", sum(map(len, texts)) / count / 1024, "KiB"),
        Figure("list and decode all pods, ours", ours, "CPU s", f"{wall:.2f} s by the clock"),
        Figure("  of this decoding, a pod", decoding / count * _MS, "CPU ms", "(h): 0.27"),
        Figure("  peer: raw JSON, fetched and json.loads", raw, "CPU s", f"{raw_wall:.2f} s by the clock"),
        Figure("  peer: typed list of kubernetes_asyncio", typed, "CPU s", f"of {min(SAMPLE, count)} pods, multiplied"),
        Figure("  ours to the typed list", ours / typed, "ratio", "(h): 0.27 to 4.4 ms"),
        Figure("a pod in the cache, by tracemalloc", kept, "KiB", "target <= 2; (h): 1.2"),
        Figure("  peer: the same as json.loads", plain, "KiB", "(h): 59"),
    ], pods


async def _raw(kubeconfig: Path) -> tuple[float, float]:
    """Pages of 500 with nothing of ours in between; CPU and wall seconds."""
    began, wall = time.process_time(), time.monotonic()
    async for page in _pages(kubeconfig):
        json.loads(page)
    return time.process_time() - began, time.monotonic() - wall


async def _pages(kubeconfig: Path) -> AsyncIterator[bytes]:
    configuration = Configuration()
    await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as api:
        more = ""
        while True:
            query = [("limit", "500")] + ([("continue", more)] if more else [])
            answer = await api.call_api(
                "/api/v1/pods",
                "GET",
                query_params=query,
                header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=aiohttp.ClientTimeout(60),
            )
            text = await answer.read()
            yield text
            more = json.loads(text)["metadata"].get("continue", "")
            if not more:
                return


async def _typed(kubeconfig: Path, count: int) -> float:
    """CPU seconds for all, from those of a sample."""
    configuration = Configuration()
    await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as api:
        began = time.process_time()
        found = await CoreV1Api(api).list_pod_for_all_namespaces(limit=min(SAMPLE, count))
        return (time.process_time() - began) / len(found.items) * count


def _size(texts: Sequence[bytes], decode: Any) -> float:
    """KiB that one decoded text takes."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = [decode(text) for text in texts]
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / len(kept) / 1024
    finally:
        tracemalloc.stop()


def naive_exposition(pods: Sequence[Pod]) -> list[Figure]:
    """One gauge with ten labels a pod, as exporters do."""
    names = ("namespace", "pod", "uid", "node", "phase", "kind", "activity", "flavour", "person", "owner")
    registry = CollectorRegistry()
    gauge = Gauge("naive_pod", "Every pod", names, registry=registry)
    for pod in pods:
        mine = [pod.labels.get(f"aiinfn.infn.it/{key}", "") for key in ("kind", "activity", "flavour", "person")]
        gauge.labels(pod.namespace, pod.name, pod.uid, pod.node, pod.phase, *mine, pod.owner_kind).set(1)
    began = time.process_time()
    text = generate_latest(registry)
    took = time.process_time() - began
    return [
        Figure("  peer: a gauge for each pod", took * _MS, "CPU ms", "(h): 350-440 for 10k pods"),
        Figure("  peer: its size", len(text) / 1024, "KiB", "(h): 2600"),
    ]
