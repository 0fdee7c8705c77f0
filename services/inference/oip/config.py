"""A served model in the words of Triton's model configuration, which its tools read to know how to call it."""

from __future__ import annotations

from collections.abc import Sequence

from tritonclient.grpc import model_config_pb2

from services.inference.oip.response import LABELS, PLATFORM, SCORES, has_labels
from services.inference.predict.runtime import ModelRuntime
from services.inference.signature import Declared

_PRIORITIES = 2
"""Live and bulk."""


def model_config(runtime: ModelRuntime, versions: Sequence[int]) -> model_config_pb2.ModelConfig:
    """Shapes are those of a row, without the batch, as Triton's are where it batches; -1 is any size.

    What the pipeline takes in place of tensors, and the labels, are inputs and outputs too, as in the metadata; such
    inputs are `optional`. An input without further dimensions has no `dims`.
    """
    loaded = runtime.loaded
    config = model_config_pb2.ModelConfig(
        name=loaded.model, platform=PLATFORM, backend="lepton", max_batch_size=loaded.max_batch_size
    )
    config.version_policy.specific.versions.extend(sorted(versions))
    for declared in runtime.signature.inputs:
        config.input.add(name=declared.name, data_type=_data_type(declared.dtype), dims=declared.shape[1:])
    for name in sorted(runtime.pipeline_inputs.keys() - {declared.name for declared in runtime.signature.inputs}):
        config.input.add(name=name, data_type=model_config_pb2.TYPE_STRING, dims=[1], optional=True)
    for declared in _outputs(runtime):
        config.output.add(name=declared.name, data_type=_data_type(declared.dtype), dims=declared.shape[1:])
    config.instance_group.add(
        name=loaded.model, count=loaded.instances, kind=model_config_pb2.ModelInstanceGroup.KIND_AUTO
    )
    # Lepton's own batcher: it delays nothing by a timer, and puts live requests before bulk ones.
    config.dynamic_batching.priority_levels = _PRIORITIES
    config.dynamic_batching.default_priority_level = 1
    config.model_transaction_policy.decoupled = False
    return config


def _outputs(runtime: ModelRuntime) -> Sequence[Declared]:
    if not has_labels(runtime):
        return runtime.signature.outputs
    labels = Declared(LABELS, "BYTES", (-1, -1), None), Declared(SCORES, "FP32", (-1, -1), None)
    return (*runtime.signature.outputs, *labels)


def _data_type(dtype: str) -> model_config_pb2.DataType:
    return model_config_pb2.DataType.Value("TYPE_STRING" if dtype == "BYTES" else f"TYPE_{dtype}")
