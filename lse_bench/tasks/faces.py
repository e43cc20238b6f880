"""The choice of the face detector."""

from __future__ import annotations

from lse_bench.devices import choose_device
from lse_bench.errors import WeightsError
from lse_bench.faces.detectors import FaceDetector, load_detector
from lse_bench.reporting import Report
from lse_bench.tasks.checks import detector_of
from lse_bench.tasks.declared import FaceOptions


def find_detector(options: FaceOptions, report: Report) -> FaceDetector:
    """Load the detector that `options` name, and fetch its weights if they are absent.

    Raises UsageError if boxes are given to another detector, and WeightsError if its weights cannot be fetched or read.
    """
    name = detector_of(options)
    path = None
    if name == "s3fd":
        try:
            path = report.weights(options.detector_weights, options.offline, options.trust)
        except WeightsError as error:
            raise WeightsError(
                f"{error}. Fetch S3FD's weights with `lse-bench weights fetch {options.detector_weights}`. Or use "
                "--detector centerface, the default of tracked@1 and of generate without --legacy. It needs no download"
            ) from None
    with report.working("Loading the face detector"):
        return load_detector(name, weights=path, boxes=options.boxes, device=choose_device(options.device))
