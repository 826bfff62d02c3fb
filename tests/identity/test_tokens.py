"""What makes an ID token good: every part of it is changed once."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey
from support.iam import Clock, signing_key

from aiinfn_hub.errors import AiinfnError, NotAuthenticated, RemoteFailed, Unavailable
from aiinfn_hub.identity.tokens import ANYBODY, Verifier

pytestmark = pytest.mark.asyncio
ISSUER, CLIENT = "https://iam.example/", "hub"
RSA = RSAKey.import_key(signing_key())
EC = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"}, private=True)


class Iam:
    """Keys that are published, and how often they were asked for."""

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys)
        self.asked = 0

    async def __call__(self) -> dict[str, Any]:
        self.asked += 1
        return {"keys": [key.as_dict(private=False) for key in self.keys]}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def iam() -> Iam:
    return Iam(RSA, EC)


@pytest.fixture
def verifier(iam: Iam, clock: Clock) -> Verifier:
    return Verifier(ISSUER, CLIENT, iam, skew_s=60, clock=clock)


def token(clock: Clock, key: Key = RSA, *, alg: str = "RS256", kid: str | None = "test", **changes: Any) -> str:
    now = int(clock.now)
    claims = {"iss": ISSUER, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 600, "nonce": "n"} | changes
    header = {"alg": alg} | ({"kid": kid} if kid else {})
    return jwt.encode(header, {name: value for name, value in claims.items() if value is not None}, key, [alg])


async def test_a_good_token(verifier: Verifier, clock: Clock) -> None:
    assert (await verifier.claims(token(clock), nonce="n"))["sub"] == "1"
    assert (await verifier.claims(token(clock, EC, alg="ES256", kid="ec")))["sub"] == "1"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://iam.example"}, id="an issuer without its slash"),
        pytest.param({"iss": "https://evil.example/"}, id="another issuer"),
        pytest.param({"iss": None}, id="no issuer"),
        pytest.param({"aud": "another"}, id="for another client"),
        pytest.param({"aud": []}, id="for nobody"),
        pytest.param({"aud": None}, id="no audience"),
        pytest.param({"aud": {"hub": 1}}, id="an audience of another type"),
        pytest.param({"aud": ["other", CLIENT]}, id="for several, without saying for whom it was made"),
        pytest.param({"aud": ["other", CLIENT], "azp": "other"}, id="for several, made for another"),
        pytest.param({"azp": "other"}, id="made for another"),
        pytest.param({"exp": 1_789_999_939}, id="expired, beyond the skew"),
        pytest.param({"exp": None}, id="without an end"),
        pytest.param({"exp": "never"}, id="an end of another type"),
        pytest.param({"iat": 1_790_000_061}, id="issued in the future, beyond the skew"),
        pytest.param({"nbf": 1_790_000_061}, id="not yet valid"),
        pytest.param({"iat": None}, id="without a beginning"),
        pytest.param({"sub": None}, id="about nobody"),
        pytest.param({"sub": ""}, id="about an empty subject"),
        pytest.param({"sub": 7}, id="a subject of another type"),
        pytest.param({"nonce": "another"}, id="of another login"),
        pytest.param({"nonce": None}, id="without the nonce"),
    ],
)
async def test_each_wrong_part_is_refused(verifier: Verifier, clock: Clock, changes: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        await verifier.claims(token(clock, **changes), nonce="n")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": 1_789_999_970}, id="expired within the skew"),
        pytest.param({"iat": 1_790_000_030}, id="issued in the future within the skew"),
        pytest.param({"aud": [CLIENT]}, id="a list of one"),
        pytest.param({"aud": ["other", CLIENT], "azp": CLIENT}, id="for several, made for us"),
        pytest.param({"groups": ["a"], "more": {"x": 1}}, id="further claims"),
    ],
)
async def test_what_is_still_good(verifier: Verifier, clock: Clock, changes: dict[str, Any]) -> None:
    assert await verifier.claims(token(clock, **changes), nonce="n")


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unsigned(clock: Clock) -> str:
    return f"{part(json.dumps({'alg': 'none', 'kid': 'test'}).encode())}.{token(clock).split('.')[1]}."


def signed_with_the_public_key(clock: Clock) -> str:
    """The old trick: the verifier takes the RSA key, which everybody has, for a shared secret."""
    text = f"{part(json.dumps({'alg': 'HS256', 'kid': 'test'}).encode())}.{token(clock).split('.')[1]}"
    return f"{text}.{part(hmac.digest(RSA.as_pem(private=False), text.encode(), 'sha256'))}"


def signed_by_another(clock: Clock) -> str:
    return token(clock, RSAKey.generate_key(2048, private=True))


def changed_after_signing(clock: Clock) -> str:
    head, _, signature = token(clock).split(".")
    return f"{head}.{token(clock, sub='2').split('.')[1]}.{signature}"


def of_the_other_algorithm(clock: Clock) -> str:
    key = RSAKey.import_key({name: value for name, value in signing_key().items() if name != "alg"})
    return token(clock, key, alg="RS512")


@pytest.mark.parametrize(
    "forged",
    [
        unsigned,
        signed_with_the_public_key,
        signed_by_another,
        changed_after_signing,
        of_the_other_algorithm,
        lambda _clock: "",
        lambda _clock: "a.b.c",
        lambda _clock: "not a token",
        lambda _clock: "ü.ü.ü",
    ],
)
async def test_forgeries_are_refused_and_not_repeated(
    verifier: Verifier, clock: Clock, forged: Callable[[Clock], str]
) -> None:
    text = forged(clock)
    with pytest.raises(NotAuthenticated) as refused:
        await verifier.claims(text)
    assert not text or text not in str(refused.value)


async def test_keys_are_fetched_once(verifier: Verifier, iam: Iam, clock: Clock) -> None:
    for _ in range(3):
        await verifier.claims(token(clock))
    assert iam.asked == 1


async def test_keys_are_fetched_once_for_all_who_wait(clock: Clock, iam: Iam) -> None:
    asked, go = 0, asyncio.Event()

    async def fetch() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        await go.wait()
        if asked == 1:
            raise Unavailable("The login provider does not answer.")
        return await iam()

    verifier = Verifier(ISSUER, CLIENT, fetch, clock=clock)

    async def all_at_once() -> list[Any]:
        waiting = [asyncio.create_task(verifier.claims(token(clock))) for _ in range(20)]
        await asyncio.sleep(0)
        waiting.pop().cancel()  # who gives up does not end it for the others
        go.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert {type(answer) for answer in await all_at_once()} == {Unavailable}
    assert {answer["sub"] for answer in await all_at_once()} == {(await verifier.claims(token(clock)))["sub"]}
    assert asked == 2


async def test_a_rotated_key_is_found_by_asking_once_more(verifier: Verifier, iam: Iam, clock: Clock) -> None:
    await verifier.claims(token(clock))
    new = ECKey.generate_key("P-256", {"kid": "new"}, private=True)
    iam.keys = [new]
    clock.now += 11
    assert await verifier.claims(token(clock, new, alg="ES256", kid="new"))
    assert iam.asked == 2


async def test_forged_key_ids_do_not_flood_the_iam(verifier: Verifier, iam: Iam, clock: Clock) -> None:
    for number in range(5):
        with pytest.raises(NotAuthenticated, match="does not publish"):
            await verifier.claims(token(clock, kid=f"forged-{number}"))
    assert iam.asked == 1


async def test_a_key_for_encryption_signs_nothing(clock: Clock) -> None:
    key = RSAKey.import_key(signing_key() | {"use": "enc", "kid": "enc"})
    with pytest.raises(NotAuthenticated):
        await Verifier(ISSUER, CLIENT, Iam(key, EC), clock=clock).claims(token(clock, kid="enc"))


async def test_without_a_key_id_there_must_be_no_choice(clock: Clock) -> None:
    assert await Verifier(ISSUER, CLIENT, Iam(RSA), clock=clock).claims(token(clock, kid=None))
    with pytest.raises(NotAuthenticated):
        await Verifier(ISSUER, CLIENT, Iam(RSA, EC), clock=clock).claims(token(clock, kid=None))


@pytest.mark.parametrize("published", [{}, {"keys": []}, {"keys": [7]}, {"keys": [{"kty": "RSA"}]}, {"keys": 7}])
async def test_keys_that_cannot_be_read(clock: Clock, published: dict[str, Any]) -> None:
    async def fetch() -> dict[str, Any]:
        return published

    with pytest.raises(RemoteFailed, match="keys cannot be read"):
        await Verifier(ISSUER, CLIENT, fetch, clock=clock).claims(token(clock))


async def test_an_outage_is_not_a_forgery(clock: Clock) -> None:
    async def fetch() -> dict[str, Any]:
        raise Unavailable("The login provider does not answer.")

    with pytest.raises(AiinfnError) as raised:
        await Verifier(ISSUER, CLIENT, fetch, clock=clock).claims(token(clock))
    assert isinstance(raised.value, Unavailable)


# --- access tokens ---------------------------------------------------------------------------------------------------

ELSEWHERE = "https://storage.example"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"aud": None}, id="for nobody in particular, as the profile iam has it"),
        pytest.param({"aud": ANYBODY}, id="for anybody, as the profile wlcg has it"),
        pytest.param({"aud": CLIENT}, id="for us"),
        pytest.param({"aud": ISSUER}, id="for the issuer, whose userinfo we ask"),
        pytest.param({"aud": [ELSEWHERE, ANYBODY]}, id="for whom the platform file names"),
        pytest.param({"iat": None, "nonce": None}, id="without what only an ID token needs"),
        pytest.param({"exp": 1_789_999_970}, id="expired within the skew"),
    ],
)
async def test_a_good_access_token(verifier: Verifier, clock: Clock, changes: dict[str, Any]) -> None:
    found = await verifier.access_claims(token(clock, **changes), sub="1", audiences=[ELSEWHERE])
    assert found is not None
    assert found["sub"] == "1"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://iam.example"}, id="an issuer without its slash"),
        pytest.param({"sub": "2"}, id="about somebody else"),
        pytest.param({"sub": None}, id="about nobody"),
        pytest.param({"aud": "https://evil.example"}, id="for somebody whom nobody has named"),
        pytest.param({"aud": [CLIENT, "https://evil.example"]}, id="for us, and for somebody else"),
        pytest.param({"exp": 1_789_999_939}, id="expired"),
        pytest.param({"exp": None}, id="without an end"),
        pytest.param({"nbf": 1_790_000_061}, id="not yet valid"),
    ],
)
async def test_a_bad_access_token_is_the_issuers_mistake(
    verifier: Verifier, clock: Clock, changes: dict[str, Any]
) -> None:
    text = token(clock, **changes)
    with pytest.raises(RemoteFailed, match="access token is") as refused:
        await verifier.access_claims(text, sub="1", audiences=[ELSEWHERE])
    assert text not in str(refused.value)


async def test_an_access_token_that_is_no_jwt_says_nothing(verifier: Verifier, iam: Iam) -> None:
    assert await verifier.access_claims("2YotnFZFEjr1zCsicMWpAA", sub="1") is None
    assert iam.asked == 0


@pytest.mark.parametrize(("audience", "good"), [(ELSEWHERE, True), (ANYBODY, False), (None, False), (CLIENT, False)])
async def test_a_token_that_was_made_narrower_is_for_nobody_else(
    verifier: Verifier, clock: Clock, audience: str | None, good: bool
) -> None:
    asked = verifier.access_claims(token(clock, aud=audience), sub="1", audiences=[ELSEWHERE], exact=True)
    if good:
        assert await asked
    else:
        with pytest.raises(RemoteFailed, match="is for"):
            await asked
