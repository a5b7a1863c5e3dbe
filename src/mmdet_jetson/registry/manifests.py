"""Manifests of a repository: had by tag or digest, put under tags, and never taken on trust."""

from urllib.parse import quote

import msgspec

from mmdet_jetson.registry.answers import Answer, media_type
from mmdet_jetson.registry.failures import printable
from mmdet_jetson.registry.place import MANIFEST_BYTES, Content, PlaceError
from mmdet_jetson.registry.reference import is_digest
from mmdet_jetson.registry.session import Request, Session
from mmdet_jetson.store.oci import INDEX, MANIFEST, MANIFESTS, Descriptor, digest_of

_ACCEPT = {"Accept": ", ".join([MANIFEST, INDEX, *sorted(MANIFESTS - {MANIFEST, INDEX})])}
_DIGEST = "Docker-Content-Digest"


class _Kind(msgspec.Struct, frozen=True, rename="camel"):
    """What a manifest says that it is; the rest is for whoever reads it."""

    schema_version: int
    media_type: str | None = None


class Manifests:
    """The manifests of one repository."""

    def __init__(self, session: Session, repository: str) -> None:
        self._session = session
        self._path = f"/v2/{repository}/manifests/"

    def resolve(self, reference: str) -> Descriptor | None:
        """The manifest of a tag or a whole digest by an answer without a body, where that tells."""
        doing = f"looking for {shown(reference)}"
        request = self._request(doing, "HEAD", reference)
        answer = self._session.ask(request)
        if answer.status == 404:
            return None
        size = answer.headers.get("Content-Length", "")
        digest = answer.headers.get(_DIGEST, "")
        kind = media_type(answer.headers)
        if not (digest and size.isdecimal() and kind):
            content = self.get(reference)
            return content.descriptor if content else None
        self._check_type(kind, doing)
        if not is_digest(digest) or (is_digest(reference) and digest != reference):
            raise PlaceError(
                f"{self._session.name}: {doing}: the registry answers for another digest,"
                f" {printable(digest)[:80]}"
            )
        return Descriptor(media_type=kind, digest=digest, size=int(size[:20]))

    def get(self, reference: str) -> Content | None:
        """A manifest or an index, whose bytes have the digest that was asked for."""
        doing = f"reading {shown(reference)}"
        answer = self._session.ask(self._request(doing, "GET", reference))
        if answer.status == 404:
            return None
        digest = digest_of(answer.content)
        for told in (reference, answer.headers.get(_DIGEST, "")):
            if is_digest(told) and told != digest:
                raise PlaceError(
                    f"{self._session.name}: {doing}: the registry answers with something else, of"
                    f" the digest {digest}"
                )
        kind = self._type_of(answer, doing)
        size = len(answer.content)
        return Content(Descriptor(media_type=kind, digest=digest, size=size), answer.content)

    def put(self, content: Content, reference: str) -> Answer:
        """Add a manifest under a tag or under its digest.

        Raises:
            PlaceError: the registry refuses it, or says that it is another.
        """
        doing = f"adding {shown(content.descriptor.digest)} as {shown(reference)}"
        if len(content.content) > MANIFEST_BYTES:
            raise PlaceError(f"{self._session.name}: {doing}: it has over {MANIFEST_BYTES:,} bytes")
        headers = {"Content-Type": content.descriptor.media_type}
        path = self._path + quote(reference, safe=":")
        hoped = frozenset({200, 201, 202, 204})
        answer = self._session.ask(
            Request(doing, "PUT", path, headers, content.content, writes=True, hoped=hoped)
        )
        told = answer.headers.get(_DIGEST, "")
        if is_digest(told) and told != content.descriptor.digest:
            raise PlaceError(f"{self._session.name}: {doing}: the registry took it for {told}")
        return answer

    def _request(self, doing: str, method: str, reference: str) -> Request:
        path = self._path + quote(reference, safe=":")
        return Request(doing, method, path, _ACCEPT, hoped=frozenset({200, 404}))

    def _type_of(self, answer: Answer, doing: str) -> str:
        """The type of a manifest; the registry and the manifest itself have to agree."""
        told = media_type(answer.headers)
        try:
            kind = msgspec.json.decode(answer.content, type=_Kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise PlaceError(
                f"{self._session.name}: {doing}: the answer is no manifest: {printable(str(error))}"
            ) from error
        if told in MANIFESTS and kind.media_type and kind.media_type != told:
            raise PlaceError(
                f"{self._session.name}: {doing}: the registry calls it {told}, and it calls itself"
                f" {printable(kind.media_type)}"
            )
        found = told if told in MANIFESTS else kind.media_type or told
        self._check_type(found, doing)
        return found

    def _check_type(self, kind: str, doing: str) -> None:
        if kind not in MANIFESTS:
            raise PlaceError(
                f"{self._session.name}: {doing}: {printable(kind) or 'something without a type'} is"
                " no manifest that is known here",
                "name what `push` has put there, or another image in OCI or Docker's second format",
            )


def shown(reference: str) -> str:
    """A tag, or as much of a digest as a user reads."""
    return reference[:19] if is_digest(reference) else reference
