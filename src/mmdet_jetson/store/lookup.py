"""What a name stands for in a layout, as far as its index and the bundles of it know."""

from collections.abc import Mapping

from mmdet_jetson.store import oci
from mmdet_jetson.store.bundles import Bundle, read_bundle
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.listing import Listing
from mmdet_jetson.store.naming import digest_start
from mmdet_jetson.store.oci import Descriptor


class Lookup:
    """Tags and digests of a layout: a tag and a whole digest are found without a search."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._bundles: dict[str, Bundle] = {}
        self._parts: tuple[Listing | None, Mapping[str, Descriptor]] = (None, {})

    def entry(self, name: str) -> Descriptor | None:
        """The manifest of a tag, or of a digest or its start; None where there is none."""
        listing = self._layout.listing()
        if entry := listing.by_tag.get(name):
            return entry
        digits = digest_start(name)
        if len(digits) == 64:
            digest = f"sha256:{digits}"
            return listing.by_digest.get(digest) or self._parts_beside(listing).get(digest)
        entries = self.entries() if digits else {}
        named = (entries[long] for long in entries if long[7:].startswith(digits))
        return next(named, None)

    def entries(self) -> dict[str, Descriptor]:
        """What the index lists, and behind it the parts of bundles that it does not."""
        listing = self._layout.listing()
        return {**listing.by_digest, **self._parts_beside(listing)}

    def bundles(self) -> list[Bundle]:
        """Every bundle, in the order of the index."""
        entries = self._layout.listing().by_digest.values()
        return [found for found in map(self.bundle, entries) if found]

    def bundle(self, entry: Descriptor) -> Bundle | None:
        """The bundle of an entry; None for what is none.

        Raises:
            UserError: it was written by a newer version.
        """
        if entry.media_type != oci.INDEX:
            return None
        found = self._bundles.get(entry.digest) or read_bundle(self._layout, entry)
        if found:
            self._bundles[entry.digest] = found
        return found

    def _parts_beside(self, listing: Listing) -> Mapping[str, Descriptor]:
        """The parts of bundles that the index does not list; kept for as long as it is the same."""
        seen, parts = self._parts
        if seen is listing:
            return parts
        indexes = [each for each in listing.by_digest.values() if each.media_type == oci.INDEX]
        bundles = [found for found in map(self.bundle, indexes) if found]
        bundled = (part for each in bundles for part in each.parts)
        parts = {part.digest: part for part in bundled if part.digest not in listing.by_digest}
        if len(bundles) == len(indexes):  # one that is damaged may be whole again
            self._parts = listing, parts
        return parts
