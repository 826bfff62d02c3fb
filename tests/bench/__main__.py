"""`make bench`: each figure beside the cheapest thing that does the same, as ratios in one run.

hub ready      `aiinfn demo` from its start to everything ready  |  bare JupyterHub, same proxy, dummy login
session ready  spawn form to a JupyterLab that answers           |  bare JupyterHub's local spawner
round trip     `%%offload` of a trivial cell, submit to result   |  the runner by hand; submitit's local executor

Three more run on the real control plane (`make controlplane` first), and take their own options:
`make bench ARGS=scale` (see `scale`), `make bench ARGS=starts` (see `starts`) and `make bench ARGS=offload`.

`make bench ARGS=logins`, `ARGS=ledger` and `ARGS=form` need neither cluster nor hub (see there).
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import form, ledger, logins, offload, platform, roundtrip, scale, starts

ROUNDS = 3


def show(name: str, ours: list[float], peers: dict[str, list[float]]) -> None:
    """One line a peer: medians in seconds, and the ratio."""
    mine = statistics.median(ours)
    for peer, seconds in peers.items():
        other = statistics.median(seconds)
        print(f"{name:14} {mine:8.2f} s   {peer:34} {other:8.2f} s   ratio {mine / other:6.2f}", flush=True)


def journeys(folder: Path) -> None:
    """The demo beside a bare hub."""
    ours, bare = platform.Figures(), platform.Figures()
    for number in range(ROUNDS):
        asyncio.run(platform.bare_hub(folder / f"bare{number}", bare))
        asyncio.run(platform.demo(folder / "demo", ours))
    show("hub ready", ours.hub, {"bare JupyterHub": bare.hub})
    show("session ready", ours.session, {"bare JupyterHub, local spawner": bare.session})
    peers = {
        "runner by hand": roundtrip.by_hand(folder / "hand", ROUNDS),
        "submitit, local executor": roundtrip.submitit_local(folder / "submitit", ROUNDS),
    }
    show("round trip", ours.round_trip, peers)


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="aiinfn-bench-") as name:
        match arguments:
            case []:
                journeys(Path(name))
            case ["scale", *more]:
                scale.main(more, Path(name))
            case ["starts", *more]:
                starts.main(more, Path(name))
            case ["form", *more]:
                form.main(more, Path(name))
            case ["logins", *more]:
                logins.main(more, Path(name))
            case ["ledger", *more]:
                ledger.main(more, Path(name))
            case ["offload", *more]:
                offload.main(more, Path(name))
            case _:
                sys.exit("bench [(scale | starts | logins | ledger | form | offload) [OPTIONS]]")


if __name__ == "__main__":
    main(sys.argv[1:])
