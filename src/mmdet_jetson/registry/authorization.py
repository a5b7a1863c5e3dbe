"""Saying who one is: a password, or a token that a registry's own service gives for it.

The scope of a token is always this one repository, whatever a registry asks for, so that no
registry gets a token that is good for another place.
"""

import base64
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from mmdet_jetson.registry.answers import Answer
from mmdet_jetson.registry.challenges import Challenge, best_challenge
from mmdet_jetson.registry.credentials import Credentials, find_credentials
from mmdet_jetson.registry.origin import Origin, Url, parse_url
from mmdet_jetson.registry.place import PlaceError

AskForToken = Callable[[Url, dict[str, str], bytes | None], Answer]
"""Gets an answer of 200 for headers and perhaps a form; raises `PlaceError` for any other."""

_SECONDS = 60  # a token lasts that long where nothing is said, by Docker's specification
_MARGIN = 0.8
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class _Held:
    """A value of ``Authorization``, and until when it is good by this machine's own clock."""

    value: str
    until: float


class Authorization:
    """Headers for one repository of one registry, made when it asks for them and kept."""

    def __init__(
        self, host: str, repository: str, ask: AskForToken, *, is_plain_allowed: bool
    ) -> None:
        self._host, self._repository, self._ask = host, repository, ask
        self._is_plain_allowed = is_plain_allowed
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._held: dict[bool, _Held] = {}
        self._credentials: Credentials | None = None
        self._has_looked = False

    def header(self, origin: Origin, *, writes: bool) -> str:
        """The value to send along to the registry; empty where it has asked for none yet."""
        held = self._held.get(writes)
        if held and time.monotonic() < held.until:
            return held.value
        if not self._challenge:
            return ""
        with self._lock:
            held = self._held.get(writes)
            if not held or time.monotonic() >= held.until:
                held = self._held[writes] = self._make(origin, self._challenge, writes=writes)
            return held.value

    def hear(self, challenge: str) -> None:
        """Remember what the registry asks for, before anything needs it."""
        self._challenge = best_challenge(challenge)

    def learn(self, challenge: str, refused: str, origin: Origin, *, writes: bool) -> None:
        """Meet the challenge of an answer of 401 to the value ``refused``.

        Raises:
            PlaceError: there is nothing more to say than was said, or nothing is known to say.
        """
        with self._lock:
            held = self._held.get(writes)
            if held and refused and held.value != refused:
                return  # another thread has asked in the meantime
            found = best_challenge(challenge)
            if not found:
                raise PlaceError(
                    f"{self._host} asks who is there in a way that is neither Basic nor Bearer",
                    "use a registry that takes a password or a token",
                )
            if refused and found.scheme == "basic":
                raise self.refused()
            self._challenge = found
            self._held[writes] = self._make(origin, found, writes=writes)

    def refused(self) -> PlaceError:
        """What to say where a fresh header is refused, too."""
        known = self._credentials
        if not known:
            return PlaceError(
                f"{self._host} asks who is there, and neither Docker's nor Podman's configuration"
                " knows a user for it",
                f"docker login {self._host}",
            )
        who = f"the user {known.user}" if known.user else "the token"
        return PlaceError(
            f"{self._host} refuses {who} of {known.source} for {self._repository}",
            f"docker login {self._host}, or ask whoever runs the registry for that right",
        )

    def _make(self, origin: Origin, challenge: Challenge, *, writes: bool) -> _Held:
        if not self._has_looked:
            self._credentials = find_credentials(self._host, self._repository)
            self._has_looked = True
        if challenge.scheme == "basic":
            return self._basic()
        return self._token(origin, challenge, "pull,push" if writes else "pull")

    def _basic(self) -> _Held:
        if not self._credentials or self._credentials.identity_token:
            raise self.refused()
        return _Held(_basic(self._credentials), float("inf"))

    def _token(self, origin: Origin, challenge: Challenge, actions: str) -> _Held:
        what = f"docker://{self._host}/{self._repository}: asking who gives tokens: the registry"
        realm = parse_url(challenge.parameters.get("realm", ""), what)
        fields = {"scope": f"repository:{self._repository}:{actions}"}
        if service := challenge.parameters.get("service"):
            fields["service"] = service
        known = self._credentials
        if known:
            self._refuse_listeners(origin, realm.origin)
        asked = time.monotonic()
        if known and known.identity_token:
            form = {
                **fields,
                "grant_type": "refresh_token",
                "refresh_token": known.identity_token,
                "client_id": "mmdet-jetson",
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self._ask(realm, headers, urlencode(form).encode())
        else:
            query = urlencode(fields, quote_via=quote, safe=":/,")
            url = Url(realm.origin, f"{realm.path}{'&' if '?' in realm.path else '?'}{query}")
            answer = self._ask(url, {"Authorization": _basic(known)} if known else {}, None)
        token, seconds = _read(answer.content, realm.origin)
        return _Held(f"Bearer {token}", asked + seconds * _MARGIN)

    def _refuse_listeners(self, origin: Origin, realm: Origin) -> None:
        """Credentials leave this machine only over TLS, or as somebody has asked for."""
        is_same = realm.host == origin.host
        stays = realm.is_loopback and origin.is_loopback
        if realm.scheme == "https" or stays or (self._is_plain_allowed and is_same):
            return
        raise PlaceError(
            f"{self._host} wants the password sent to {realm}, where anyone on the way could read"
            " it; it was not sent",
            "ask whoever runs the registry for a token service with TLS",
        )


def _basic(known: Credentials) -> str:
    pair = f"{known.user}:{known.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _read(content: bytes, realm: Origin) -> tuple[str, float]:
    """The token of an answer and the seconds that it is good for."""
    try:
        fields = json.loads(content)
        token = fields.get("token") or fields.get("access_token")
        seconds = float(fields.get("expires_in") or _SECONDS)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise PlaceError(f"{realm} answers with something that is no token") from error
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise PlaceError(f"{realm} answers with something that is no token")
    return token, max(seconds, _SECONDS)
