"""What `jupyterhub -f` reads in the embedded platform: the same classes as in production, with the demo's addresses.

The demo writes `settings.json` (addresses and names of files, nothing secret) and names it in AIINFN_DEMO.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from traitlets.config import get_config

from aiinfn_hub.hub.wiring import configure

settings = json.loads(Path(os.environ["AIINFN_DEMO"]).read_text())
ports, home = settings["ports"], Path(settings["home"])


def secret(name: str) -> str:
    """The content of a secret's file."""
    return (home / "secrets" / name).read_text().strip()


c = get_config()

c.JupyterHub.bind_url = settings["public_url"]
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{ports['hub']}"
c.JupyterHub.db_url = f"sqlite:///{home / 'hub' / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(home / "secrets" / "cookie-secret")
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = False
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 3
c.JupyterHub.services = [
    {
        "name": "aiinfn",
        "url": f"http://127.0.0.1:{ports['service']}",
        "api_token": secret("service-token"),
        "oauth_no_confirm": True,
        "display": False,  # the navigation bar links to the panel
    }
]

# The proxy is a process of its own, so that it outlives the hub.
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{ports['proxy_api']}"
c.ConfigurableHTTPProxy.auth_token = secret("proxy-token")

c.JupyterHub.authenticator_class = "aiinfn-iam"
c.IamAuthenticator.issuer = settings["iam_issuer"]
c.IamAuthenticator.platform_file = settings["platform_file"]
c.IamAuthenticator.client_id = "aiinfn-hub"
c.IamAuthenticator.client_secret = secret("iam-client-secret")
c.IamAuthenticator.oauth_callback_url = f"{settings['public_url']}/hub/oauth_callback"
c.IamAuthenticator.binding_file = str(home / "hub" / "bindings.sqlite")
# Out of the IAM too, so that the next one to log in on this browser is asked who it is.
c.IamAuthenticator.logout_redirect_url = f"{settings['iam_issuer']}authorize/logout"
c.IamAuthenticator.contact = "whoever started this demo"
c.CryptKeeper.keys = [bytes.fromhex(secret("auth-state-key"))]

c.JupyterHub.spawner_class = "aiinfn"
c.AiinfnSpawner.platform_file = settings["platform_file"]
c.AiinfnSpawner.service_url = settings["service_url"]
c.AiinfnSpawner.hub_key_file = str(home / "secrets" / "hub-key")
c.AiinfnSpawner.hub_connect_url = f"http://127.0.0.1:{ports['hub']}"

configure(c)
