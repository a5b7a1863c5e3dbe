"""How long tests wait for a registry."""

from mmdet_jetson.registry.connections import Patience

FAST = Patience(
    connect=5, silence=5, window=0.2, pace=1000, attempts=3, pause=0.001, longest_pause=2
)
