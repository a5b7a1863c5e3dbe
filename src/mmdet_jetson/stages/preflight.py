"""Stage `preflight`: say whether an engine may be opened on this machine, without opening it."""

from pathlib import Path

from mmdet_jetson.contract.job import Result
from mmdet_jetson.contract.parameters.preflight import PreflightParameters
from mmdet_jetson.stages.backends import load_backend
from mmdet_jetson.stages.engines.preflight import preflight
from mmdet_jetson.stages.inference.device import reported
from mmdet_jetson.stages.job import StageJob, main


def run(job: StageJob[PreflightParameters]) -> Result:
    """Check the ``engine`` folder; ``onnx`` may name the file it should have been built from."""
    onnx = job.parameters.onnx
    passport = preflight(job.inputs["engine"], Path(onnx) if onnx else None)
    versions = load_backend(passport.backend).versions()
    return Result(
        facts={
            **versions,
            **reported(versions),
            "target": passport.target,
            "backend": passport.backend,
        }
    )


if __name__ == "__main__":
    main(run, PreflightParameters)
