"""What a user image installs: `aiinfn[lab]`, and nothing of the hub."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: What would weigh a user image down, or clash with what is in it.
HUB_ONLY = {
    "jupyterhub",
    "jupyterhub-kubespawner",
    "oauthenticator",
    "kubernetes-asyncio",
    "sqlalchemy",
    "alembic",
    "pydantic",
    "aiohttp",
}
CHECK = """
import json, sys
import aiinfn_hub.contract.jobs, aiinfn_hub.contract.offer, aiinfn_hub.contract.quantities, aiinfn_hub.errors
import aiinfn_labext, aiinfn_labext.handlers
from aiinfn_labext import offload
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with `aiinfn[lab]` alone."""
    folder = tmp_path_factory.mktemp("image")
    venv.create(folder, with_pip=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--constraint", ROOT / "constraints.txt", f"{ROOT}[lab]"], check=True)
    return folder


@pytest.mark.timeout(400)
def test_a_user_image_gets_nothing_of_the_hub(image: Path) -> None:
    listing = subprocess.run(
        [image / "bin" / "python", "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
    ).stdout
    installed = {package["name"].lower().replace("_", "-") for package in json.loads(listing)}
    assert "aiinfn" in installed
    assert installed & HUB_ONLY == set()


@pytest.mark.timeout(400)
def test_the_notebook_side_works_there(image: Path) -> None:
    loaded = subprocess.run([image / "bin" / "python", "-c", CHECK], check=True, capture_output=True).stdout
    assert not {name.replace("-", "_") for name in HUB_ONLY} & set(json.loads(loaded))
    help_text = subprocess.run([image / "bin" / "aiinfn", "--help"], check=True, capture_output=True, text=True).stdout
    assert "offload" in help_text
    assert "aiinfn[hub]" in help_text, "what is missing is said, not a traceback"


@pytest.mark.timeout(400)
def test_magic_and_server_extension_are_loaded_without_a_word(image: Path) -> None:
    """The two configuration files are where Jupyter and IPython look for them."""
    assert (image / "etc" / "jupyter" / "jupyter_server_config.d" / "aiinfn_labext.json").exists()
    code = "get_ipython().run_line_magic('offload', 'targets')"
    ran = subprocess.run(
        [image / "bin" / "python", "-m", "IPython", "--no-banner", "--colors", "NoColor", "-c", code],
        capture_output=True,
        text=True,
        cwd=image,
        env={"AIINFN_SERVICE_URL": "http://127.0.0.1:1", "PATH": "/usr/bin:/bin", "HOME": str(image)},
        check=False,
    )
    assert "service does not answer" in ran.stderr, ran


def test_importing_the_contract_pulls_in_no_hub() -> None:
    code = "import aiinfn_hub.contract.jobs, aiinfn_hub.contract.offer, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"jupyterhub", "kubernetes_asyncio", "sqlalchemy", "pydantic", "tornado"} & set(loaded)
