"""The face detector that options ask for."""

from __future__ import annotations

from lse_bench.devices import choose_device
from lse_bench.errors import UsageError, WeightsError
from lse_bench.faces.detectors import FaceDetector, load_detector
from lse_bench.reporting import Report
from lse_bench.tasks.declared import FaceOptions


def find_detector(options: FaceOptions, default: str, report: Report) -> FaceDetector:
    """The detector asked for, or the one called `default`, its weights fetched if need be.

    Raises UsageError for boxes with another detector, WeightsError where its weights cannot be had.
    """
    name = options.detector or ("boxes" if options.boxes is not None else default)
    if options.boxes is not None and name != "boxes":
        raise UsageError(f"--boxes is for --detector boxes, not {name}")
    path = None
    if name == "s3fd":
        try:
            path = report.weights(options.detector_weights, options.offline, options.trust)
        except WeightsError as error:
            raise WeightsError(
                f"{error}. With the network, `lse-bench weights fetch {options.detector_weights}` gets S3FD's weights; "
                "--detector centerface, of tracked@1 and of generate without --legacy, needs none"
            ) from None
    with report.working("Loading the face detector"):
        return load_detector(name, weights=path, boxes=options.boxes, device=choose_device(options.device))
