"""The store: artifacts in an OCI image layout, content-addressed, written all or nothing."""

from mmdet_jetson.store.artifact import Artifact, Provenance, cache_tag, is_cache_tag
from mmdet_jetson.store.bundles import Bundle
from mmdet_jetson.store.listing import BrokenIndex
from mmdet_jetson.store.oci import Descriptor
from mmdet_jetson.store.store import Store

__all__ = [
    "Artifact",
    "BrokenIndex",
    "Bundle",
    "Descriptor",
    "Provenance",
    "Store",
    "cache_tag",
    "is_cache_tag",
]
