"""A measurement that passes every rule."""

from luxe_export.gate.measurement import Measurement

__all__ = ["GOOD"]

GOOD = Measurement(
    candidate="fp32",
    metric_name="macro-F1",
    metric=0.9,
    metric_interval=(0.88, 0.92),
    metric_drop=0.001,
    metric_drop_interval=(-0.002, 0.004),
    agreement=1.0,
    change=0.05,
    batch_change=0.0,
    calibration_error=0.02,
    calibration_error_rise=-0.01,
    rows=100,
    rows_alone=100,
    stopped=None,
    file_bytes=91_000_000,
    memory_bytes=146_500_000,
)
