"""Options that a person has given a name, in a file of their own: `%%offload --profile big`.

```toml
[default]        # what is meant without --profile
time = "4h"

[big]
gpu = "a100-40"
mem = "64Gi"
```
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from aiinfn_hub.errors import InvalidInput, NotFound

#: What a profile may say, as behind `%%offload` without the dashes.
OPTIONS = ("to", "gpu", "cpu", "mem", "time", "image", "on-evict", "drift")
#: The one that is meant when none is named.
DEFAULT = "default"


@dataclass(frozen=True)
class Profiles:
    """The profiles of a person: option -> value, by name; and where they were read."""

    known: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    file: Path = Path("profiles.toml")

    def options(self, name: str) -> dict[str, str]:
        """The options of a profile, such as {"--gpu": "t4"}; without a name those of `default`, if there is one.

        Raises:
            NotFound: there is none of that name; the hint has the nearest.
        """
        if name and name not in self.known:
            near = get_close_matches(name, self.known, n=1)
            there = f"There are: {', '.join(self.known)}." if self.known else f"Write it into {self.file}."
            hint = f"Did you mean {near[0]}?" if near else there
            raise NotFound(f"You have no profile {name!r}.", hint=hint)
        return {f"--{option}": value for option, value in self.known.get(name or DEFAULT, {}).items()}


def load(environ: Mapping[str, str] = os.environ) -> Profiles:
    """The profiles of the person; none where there is no file.

    Raises:
        InvalidInput: the file is no TOML, or says what no profile can.
    """
    folder = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    file = Path(folder) / "aiinfn" / "profiles.toml"
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Profiles(file=file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}.") from error
    return Profiles({name: _checked(file, name, options) for name, options in found.items()}, file)


def _checked(file: Path, name: str, options: object) -> dict[str, str]:
    if not isinstance(options, dict):
        raise InvalidInput(f"{file}: {name} is no profile.", hint=f"Write [{name}] on a line of its own.")
    for option, value in options.items():
        if option not in OPTIONS:
            near = get_close_matches(option, OPTIONS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(OPTIONS)}."
            raise InvalidInput(f"{file}: the profile {name} has {option!r}, which is no option.", hint=hint)
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise InvalidInput(f"{file}: {option} of the profile {name} is {value!r}.", hint=f'As in {option} = "1".')
    return {option: str(value) for option, value in options.items()}
