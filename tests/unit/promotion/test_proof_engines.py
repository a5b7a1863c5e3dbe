"""The known-bad engines of the proof, built, evaluated and proven for real, in a bundle.

`stages.test_known_bad_engines` has them rejected by the gates of the report. Here the very files
that these stages write are judged by a channel's policy.
"""

import shutil
from copy import copy
from pathlib import Path

import pytest
from bad_detectors import BAD, graph
from built_engines import job
from proven_releases import CLASSES as _CLASSES
from proven_releases import NOW, ProvenRun
from small_releases import PC, as_json
from stages.test_known_bad_engines import REJECTED, STAGE, TOLERANCES, Run

from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.report import FAIL, PASS
from mmdet_jetson.promotion.evidence import Case
from mmdet_jetson.promotion.judging import judge
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.promotion.verdicts import Verdict
from mmdet_jetson.stages import prove
