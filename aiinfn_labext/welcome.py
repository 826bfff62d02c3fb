"""A short example notebook in the home of somebody who is here for the first time."""

from __future__ import annotations

import logging
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

NAME = "Welcome.ipynb"
#: Says that it was put there; who deletes the notebook does not get another one.
MARK = Path(".aiinfn") / "welcomed"
_LOG = logging.getLogger("aiinfn.welcome")


def welcome(home: Path) -> bool:
    """Put the notebook into a home without visible files, once; whether it did.

    A home that cannot be written is no reason for a session not to start: what is wrong with it is said elsewhere.
    """
    mark = home / MARK
    try:
        if mark.exists():
            return False
        new = not any(not one.name.startswith(".") for one in home.iterdir())
        mark.parent.mkdir(exist_ok=True)
        # Exclusively: of two servers that share a home and start at once, one does it.
        with mark.open("x"):
            pass
        if new:
            text = files("aiinfn_labext").joinpath("welcome.ipynb").read_bytes()
            with (home / NAME).open("xb") as notebook:
                notebook.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        _LOG.warning("There is no welcome in %s: %s", home, error.strerror)
        with suppress(OSError):
            mark.unlink(missing_ok=True)
        return False
    return new
