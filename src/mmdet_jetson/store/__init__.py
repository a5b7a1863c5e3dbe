"""The store: artifacts in an OCI image layout, content-addressed, written all or nothing."""

from mmdet_jetson.store.artifact import Artifact, Layer, Provenance, cache_tag, is_cache_tag
from mmdet_jetson.store.garbage import Freed
from mmdet_jetson.store.oci import Descriptor
from mmdet_jetson.store.store import Store
from mmdet_jetson.store.verification import Problem, Verification

__all__ = [
    "Artifact",
    "Descriptor",
    "Freed",
    "Layer",
    "Problem",
    "Provenance",
    "Store",
    "Verification",
    "cache_tag",
    "is_cache_tag",
]
