"""An OpenID provider on loopback that behaves as INDIGO IAM does where the platform can tell the difference."""

from aiinfn_hub.local.iam.accounts import Account, demo_accounts
from aiinfn_hub.local.iam.clients import Client
from aiinfn_hub.local.iam.server import IamServer

__all__ = ["Account", "Client", "IamServer", "demo_accounts"]
