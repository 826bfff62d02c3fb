"""The object store for the programs of a pod: addresses, a role and the file of the token. Pure, and no key in it.

AWS's libraries (boto3, s3fs, the AWS CLI, rclone with env_auth) change the token for keys by themselves, and again
before those end: https://docs.aws.amazon.com/sdkref/latest/guide/access-assume-role-web.html. The endpoints are read
from the environment since 2023: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html.
"""

from __future__ import annotations

from aiinfn_hub.catalogue.people import Activity, ObjectStore
from aiinfn_hub.contract.life import BUCKETS_VARIABLE
from aiinfn_hub.pods.names import slug
from aiinfn_hub.pods.storage import filled

#: The remote of rclone that is there without a file: `rclone ls store:bucket`.
_REMOTE = "RCLONE_CONFIG_STORE_"


def environment(store: ObjectStore, person: str, activity: Activity, token_file: str) -> dict[str, str]:
    """The variables of a pod of somebody."""
    buckets = [filled(bucket, person, activity) for bucket in store.buckets]
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": token_file,
        "AWS_ROLE_ARN": store.role,
        "AWS_ROLE_SESSION_NAME": slug(person),
        "AWS_ENDPOINT_URL_S3": store.endpoint,
        "AWS_ENDPOINT_URL_STS": store.sts or store.endpoint,
        "AWS_REGION": store.region,
        "AWS_DEFAULT_REGION": store.region,
        f"{_REMOTE}TYPE": "s3",
        f"{_REMOTE}PROVIDER": "Other",
        f"{_REMOTE}ENV_AUTH": "true",
        f"{_REMOTE}ENDPOINT": store.endpoint,
        f"{_REMOTE}REGION": store.region,
        **({BUCKETS_VARIABLE: ",".join(buckets)} if buckets else {}),
    }
