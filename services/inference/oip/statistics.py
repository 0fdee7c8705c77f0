"""A version's counters in the form of Triton's statistics extension."""

from __future__ import annotations

from tritonclient.grpc import service_pb2

from services.inference.statistics import Duration
from services.inference.version import LoadedVersion


def model_statistics(loaded: LoadedVersion) -> service_pb2.ModelStatistics:
    """Counters of this replica, over all protocols, since the version was deployed here.

    Triton's stages are Lepton's: compute_input is the pipeline, compute_infer the batch in Triton, compute_output what
    makes labels of outputs. Nothing is told of a batch but its time in Triton.
    """
    seen = loaded.statistics
    stats = service_pb2.InferStatistics(
        success=_duration(seen.success),
        fail=_duration(seen.fail),
        queue=_duration(seen.queue),
        compute_input=_duration(seen.preprocess),
        compute_infer=_duration(seen.infer),
        compute_output=_duration(seen.postprocess),
    )
    return service_pb2.ModelStatistics(
        name=loaded.model,
        version=str(loaded.version),
        last_inference=seen.last_request_ms,
        inference_count=seen.rows,
        execution_count=seen.batches,
        inference_stats=stats,
        batch_stats=[_batches(size, seen.batch_sizes[size]) for size in sorted(seen.batch_sizes)],
    )


def _batches(size: int, done: Duration) -> service_pb2.InferBatchStatistics:
    untimed = service_pb2.StatisticDuration(count=done.count)
    return service_pb2.InferBatchStatistics(
        batch_size=size, compute_input=untimed, compute_infer=_duration(done), compute_output=untimed
    )


def _duration(duration: Duration) -> service_pb2.StatisticDuration:
    return service_pb2.StatisticDuration(count=duration.count, ns=duration.ns)
