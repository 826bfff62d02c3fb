"""A script of the session as a job: its source, with its arguments where it looks for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aiinfn_hub.contract.jobs import JOB_NAME, JobRequest
from aiinfn_hub.errors import InvalidInput
from aiinfn_labext.parsing import CellOptions


def script_request(script: Path, arguments: Sequence[str], options: CellOptions) -> JobRequest:
    """What runs a script elsewhere, as `python SCRIPT ARGUMENTS` would; files beside it do not travel.

    Raises:
        InvalidInput: it cannot be read, or gives no name to the job.
    """
    try:
        source = script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{script} cannot be read: {error}.") from error
    name = options.name or script.stem
    if JOB_NAME.fullmatch(name) is None:
        raise InvalidInput(f"{name!r} is not a job name.", hint="Give one: letters, digits, - and _, a letter first.")
    return JobRequest(
        name=name,
        source=source,
        context=f"import sys\n\nsys.argv = {[script.name, *arguments]!r}\n",
        outputs=list(options.outputs),
        resources=options.resources,
        target=options.target,
        image=options.image,
        token=options.token,
    )
