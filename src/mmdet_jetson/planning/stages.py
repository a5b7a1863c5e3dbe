"""The pipeline's stages, in order: one table that says what each is."""

from dataclasses import dataclass

from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.parameters.base import Parameters
from mmdet_jetson.contract.parameters.check import CheckParameters
from mmdet_jetson.contract.parameters.dataset import DatasetParameters
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.parameters.evaluate import (
    EvaluateCheckpointParameters,
    EvaluateEngineParameters,
)
from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.contract.parameters.export_for import ExportForParameters
from mmdet_jetson.contract.parameters.model import TakenModelParameters
from mmdet_jetson.contract.parameters.preflight import PreflightParameters
from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.parameters.rehearse import RehearseParameters
from mmdet_jetson.contract.parameters.report import ReportParameters
from mmdet_jetson.contract.parameters.train import TrainParameters

TRAIN = "train"
"""The environment with PyTorch and MMDetection."""
DEPLOY = BACKENDS["onnxruntime"].environment
"""The environment of every machine that builds or runs engines."""
OF_TARGET = ""
"""The environment that the target's backend names (`contract.backends`)."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of step."""

    verb: str
    """What a user calls it, as in ``invoke evaluate``, ``invoke why prove``. Two may share one."""
    module: str
    """What runs it: ``mmdet_jetson.stages.MODULE``."""
    parameters: type[Parameters]
    makes: str
    """The kind of artifact."""
    environment: str = TRAIN
    runs_on_devices: bool = False
    """Whether `DEPLOY` will do as well, where a plan starts at an export from elsewhere."""
    is_evidence: bool = False
    """Whether its result tells how near to its target it was taken."""
    may_resume: bool = False
    """Whether a killed run goes on from what it left in its work folder."""
    may_be_left_out: bool = False
    """Whether what follows goes on without it where it cannot run."""
    trains: bool = False
    """Whether it is about PyTorch's computing, on a GPU where the training may use one."""
    runs_engines: bool = False
    """Whether it builds or runs an engine, on a GPU where its backend needs one."""
    measures_device: bool = False
    """Whether its result belongs to this very machine."""
    reads_provenance: bool = False
    """Whether it is told where the artifacts that it reads come from."""


DATASET = Stage(
    verb="dataset",
    module="dataset",
    parameters=DatasetParameters,
    makes="dataset",
)
CHECK = Stage(
    verb="check",
    module="check",
    parameters=CheckParameters,
    makes="check",
    trains=True,
)
REHEARSE = Stage(
    verb="check",
    module="rehearse",
    parameters=RehearseParameters,
    makes="rehearsal",
    environment=OF_TARGET,
    may_be_left_out=True,
)
TRAINING = Stage(
    verb="train",
    module="train",
    parameters=TrainParameters,
    makes="checkpoint",
    trains=True,
    may_resume=True,
)
# In place of a training: a model that is trained already.
MODEL = Stage(
    verb="model",
    module="model",
    parameters=TakenModelParameters,
    makes="checkpoint",
)
CHECKPOINTS = (TRAINING, MODEL)
"""What can make a run's checkpoint."""
EVALUATE_CHECKPOINT = Stage(
    verb="evaluate",
    module="evaluate_checkpoint",
    parameters=EvaluateCheckpointParameters,
    makes="evaluation",
    trains=True,
    is_evidence=True,
)
EXPORT = Stage(
    verb="export",
    module="export",
    parameters=ExportParameters,
    makes="onnx",
)
ENGINE = Stage(
    verb="engine",
    module="engine",
    parameters=EngineParameters,
    makes="engine",
    environment=OF_TARGET,
    runs_engines=True,
)
EVALUATE_ENGINE = Stage(
    verb="evaluate",
    module="evaluate_engine",
    parameters=EvaluateEngineParameters,
    makes="evaluation",
    environment=OF_TARGET,
    runs_engines=True,
    is_evidence=True,
)
PROVE = Stage(
    verb="prove",
    module="prove",
    parameters=ProveParameters,
    makes="proof",
    runs_on_devices=True,
)
PROFILE = Stage(
    verb="profile",
    module="profile",
    parameters=ProfileParameters,
    makes="profile",
    environment=OF_TARGET,
    runs_engines=True,
    is_evidence=True,
    measures_device=True,
)
REPORT = Stage(
    verb="report",
    module="report",
    parameters=ReportParameters,
    makes="report",
    runs_on_devices=True,
    reads_provenance=True,
)
STAGES = (
    DATASET,
    CHECK,
    REHEARSE,
    TRAINING,
    MODEL,
    EVALUATE_CHECKPOINT,
    EXPORT,
    ENGINE,
    EVALUATE_ENGINE,
    PROVE,
    PROFILE,
    REPORT,
)
# Not of the pipeline: `invoke preflight` asks it about a folder that may come from anywhere.
PREFLIGHT = Stage(
    verb="preflight",
    module="preflight",
    parameters=PreflightParameters,
    makes="preflight",
    environment=OF_TARGET,
    runs_engines=True,
)
# Not of the pipeline either: `invoke export-for` runs it on an engine of any target, unopened.
EXPORT_FOR = Stage(
    verb="export-for",
    module="export_for",
    parameters=ExportForParameters,
    makes="pipeline",
    environment=OF_TARGET,
)
