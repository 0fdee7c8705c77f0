"""What `lepton.yaml` may say: frozen models that are checked once and trusted afterwards."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, field_validator

from lepton_ai.dtypes import DTYPES
from lepton_ai.errors import InvalidInput
from lepton_ai.package.document import load_document
from lepton_ai.package.positions import Positions
from lepton_ai.package.violations import invalid
from lepton_ai.references import check_name

DESCRIPTION_FILE = "lepton.yaml"
_MODEL_NAMES = ("model.onnx", "model.pt2", "model.py")
"""What Triton finds in a model's directory."""
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_RETENTION_S = 3650 * 86400.0

TensorName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
Dimension = Annotated[int, Field(ge=-1, le=1 << 31)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelFile(_Part):
    """The file that Triton runs, and what it is."""

    file: str
    format: Literal["onnx", "torch_export"]
    weights: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    """Files in the same directory to which the model leaves its weights (ONNX's external data)."""


class TensorSpec(_Part):
    """A named input or output of the model; the first dimension is the batch (-1), further -1 are free."""

    name: TensorName
    dtype: str
    shape: Annotated[tuple[Dimension, ...], Field(min_length=1, max_length=16)]

    @property
    def model_shape(self) -> tuple[int, ...]:
        """The shape in the model itself."""
        return self.shape

    @field_validator("dtype")
    @classmethod
    def _known(cls, dtype: str) -> str:
        if dtype not in DTYPES:
            raise ValueError(f"must be one of {', '.join(DTYPES)}")
        return dtype

    @field_validator("shape")
    @classmethod
    def _batched(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if shape[0] != -1:
            raise ValueError("the first dimension is the batch and must be -1")
        if 0 in shape:
            raise ValueError("dimensions are positive, or -1 for free ones")
        return shape


class OutputSpec(TensorSpec):
    """A named output; `batched: false` for a model that gives it without the batch dimension, which Lepton adds."""

    batched: bool = True

    @property
    def model_shape(self) -> tuple[int, ...]:
        return self.shape if self.batched else self.shape[1:]


class Preprocess(_Part):
    """The pipeline from raw inputs to the model's tensors; its steps are checked by `lepton_ai.pipeline`."""

    inputs: Annotated[dict[str, JsonValue], Field(min_length=1, max_length=1000)]
    readings: Annotated[dict[str, JsonValue], Field(max_length=1000)] = {}
    steps: Annotated[tuple[dict[str, JsonValue], ...], Field(max_length=1000)]


class Caching(_Part):
    """What replicas may keep of a model whose answers depend on nothing but their inputs. Without it they keep nothing.

    `tensors` are what the pipeline makes of an item, which a later version with the same pipeline needs again.
    `isolate` keeps tenants (metadata `lepton-tenant`) apart: none is answered from what another one's call left.
    """

    answers: bool = False
    tensors: bool = False
    ttl_s: Annotated[float, Field(ge=1, le=30 * 86400)] = 86400.0
    """How long something kept may be used, in seconds."""
    isolate: bool = False

    @property
    def keeps(self) -> bool:
        """Whether anything may be kept."""
        return self.answers or self.tensors


class KeptInputs(_Part):
    """Which inputs the health service may keep, so that users' corrections can be trained on. Without it, none.

    A random share of all, and every one whose best label has a score below `below_score`, or on which a shadowed
    version disagrees. They are what callers sent: photos, texts, rows.
    """

    keep_inputs: bool = False
    sample: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The random share."""
    below_score: Annotated[float, Field(ge=0, le=1)] = 0.0
    retention: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5}[smhd]$")] = "30d"
    """How long: a number with s, m, h or d."""

    @property
    def retention_s(self) -> float:
        """The same in seconds."""
        return float(self.retention[:-1]) * _SECONDS[self.retention[-1]]

    @field_validator("retention")
    @classmethod
    def _bounded(cls, retention: str) -> str:
        if float(retention[:-1]) * _SECONDS[retention[-1]] > _MAX_RETENTION_S:
            raise ValueError("must be at most ten years")
        return retention


class ExpectedOutput(_Part):
    """Values that one output must have for one item, without the batch dimension."""

    values: list[JsonValue] | float
    tolerance: Annotated[float, Field(ge=0)] = 1e-3


class ExpectedBox(_Part):
    """An object that must be found, and about where."""

    label: str
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the picture as it is sent."""
    overlap: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Least intersection over union of the box that is found with this one."""

    @field_validator("box")
    @classmethod
    def _with_an_area(cls, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        if not (box[0] < box[2] and box[1] < box[3]):
            raise ValueError("must be [left, top, right, bottom]")
        return box


class Expectation(_Part):
    """What a right answer looks like: a label among the `top_k` best ones, a text, boxes, output values, or several.

    In a mask the labels are those of its areas, largest first.
    """

    label: str | None = None
    text: str | None = None
    top_k: Annotated[int, Field(ge=1, le=1000)] = 1
    boxes: Annotated[tuple[ExpectedBox, ...], Field(max_length=100)] = ()
    outputs: Annotated[dict[str, ExpectedOutput], Field(max_length=100)] = {}


class Golden(_Part):
    """One sample with the answer that a served version must give.

    An input is a text, a number or a truth value; a package file as `{file: photo.jpg}` or, for kinds that are files
    (image, sound), just its path; a tensor, without the batch dimension, as `{values: [...]}`, with its `dtype` when a
    pipeline takes it and it is not FP32.
    """

    inputs: Annotated[dict[str, JsonValue], Field(min_length=1, max_length=1000)]
    expect: Expectation


class Origin(_Part):
    """Where a version comes from; all of it is for people, and changes nothing of how it is served."""

    parent: Annotated[str, StringConstraints(max_length=200)] = ""
    """The version that it was made from, "NAME@VERSION"."""
    data: Annotated[str, StringConstraints(max_length=1000)] = ""
    """What it was trained on."""
    data_digest: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of that, as `Dataset.digest` has it."""
    rows: Annotated[int, Field(ge=0)] = 0
    run: Annotated[str, StringConstraints(max_length=1000)] = ""
    """The training run: an address, a folder, an id."""
    parameters: Annotated[dict[str, bool | int | float | str | None], Field(max_length=200)] = {}
    """How it was trained or optimised."""


class Promise(_Part):
    """What is promised of the model's service (SLO); alerts tell when it is about to be broken.

    `availability_percent` of the requests are answered; `latency_percent` of the answers come within `latency_s`.
    """

    availability_percent: Annotated[float, Field(gt=0, lt=100)] | None = None
    latency_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    latency_percent: Annotated[float, Field(gt=0, lt=100)] = 99.0
    window_days: Annotated[int, Field(ge=1, le=90)] = 30


class Optimised(_Part):
    """How a variant was made of another version, and what it was measured to be, on which processor.

    The figures, and with 8 bits the answers too, hold for processors with the same `flags`.
    """

    of: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Digest of the package that it was made of."""
    method: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    cpu: Annotated[str, StringConstraints(max_length=200)]
    flags: Annotated[tuple[str, ...], Field(max_length=64)]
    engine: Annotated[str, StringConstraints(max_length=100)]
    batch: Annotated[int, Field(ge=1)]
    """Rows of a call that was timed."""
    threads: Annotated[int, Field(ge=1)]
    whole: bool = False
    """Whether what was timed began with the pipeline, as it does for models of pictures."""
    time_ms: Annotated[float, Field(gt=0)]
    speed_up: Annotated[float, Field(gt=0)]
    """How many times as fast as the original."""
    speed_up_interval: tuple[float, float]
    """Of 95 %, as the other one."""
    metric: Annotated[str, StringConstraints(max_length=100)]
    loss: float
    """Of the metric, in its own unit: 0.005 is half a point."""
    loss_interval: tuple[float, float]
    max_loss: Annotated[float, Field(ge=0, lt=1)] = 0.005
    """The most that it was allowed to lose when it was measured; with more it is not served in the original's place."""
    rows: Annotated[int, Field(ge=1)]
    """By which it was judged."""
    size_bytes: Annotated[int, Field(ge=0)]
    memory_bytes: Annotated[int, Field(ge=0)]
    """What opening and running it takes at its peak; 0 when nobody counted."""


class Description(_Part):
    """The content of `lepton.yaml`."""

    format: Literal[1]
    name: str
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    model: ModelFile
    inputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1, max_length=256)]
    outputs: Annotated[tuple[OutputSpec, ...], Field(min_length=1, max_length=256)]
    max_batch_size: Annotated[int, Field(ge=1, le=4096)] = 8
    instances: Annotated[int, Field(ge=0, le=256)] = 0
    preprocess: Preprocess | None = None
    postprocess: Annotated[tuple[dict[str, JsonValue], ...], Field(max_length=1000)] | None = None
    golden: Annotated[tuple[Golden, ...], Field(max_length=100)] = ()
    cache: Caching = Caching()
    feedback: KeptInputs = KeptInputs()
    profile: Annotated[str, StringConstraints(max_length=255)] | None = None
    """The file that says in counts what the training data was like: live inputs are compared with it (drift)."""
    slo: Promise | None = None
    metrics: Annotated[dict[str, float], Field(max_length=100)] = {}
    """Figures of its evaluation, by name."""
    lineage: Origin = Origin()
    optimised: Optimised | None = None

    @classmethod
    def parse(cls, data: bytes) -> Description:
        """The description in a YAML document. Raises InvalidInput naming every field that is wrong (up to 20)."""
        return cls.parse_located(data)[0]

    @classmethod
    def parse_located(cls, data: bytes) -> tuple[Description, Positions]:
        """The same, and where its fields stand, for errors that are found later."""
        document, positions = load_document(data, name=DESCRIPTION_FILE)
        with positions.told():
            return cls.of(document), positions

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Description:
        """The description in an already loaded document. Raises InvalidInput."""
        try:
            # Through JSON, where lists may become tuples while everything else stays strict.
            description = cls.model_validate_json(json.dumps(document))
        except ValidationError as error:
            raise invalid(error, cls, file=DESCRIPTION_FILE) from error
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput.of_field(DESCRIPTION_FILE, "holds values that JSON cannot") from error
        description._check_names()
        return description

    @property
    def unbatched_outputs(self) -> frozenset[str]:
        """Names of the outputs that the model gives without the batch dimension."""
        return frozenset(spec.name for spec in self.outputs if not spec.batched)

    def input_kind(self, name: str) -> str:
        """The kind that the pipeline declares for an input ("image", "text", …); "tensor" without a pipeline."""
        if self.preprocess is None:
            return "tensor"
        declared = self.preprocess.inputs.get(name)
        kind = declared.get("kind") if isinstance(declared, dict) else declared
        return str(kind)

    @property
    def input_kinds(self) -> dict[str, str]:
        """The kind of everything that callers send, by name."""
        names = self.preprocess.inputs if self.preprocess is not None else (spec.name for spec in self.inputs)
        return {name: self.input_kind(name) for name in names}

    def check_files(self, paths: Collection[str]) -> None:
        """Check that the files this description names are among the package's. Raises InvalidInput."""
        if self.model.file not in paths:
            raise InvalidInput.of_field("model.file", "is not a file of the package", reason="MISSING_FILE")
        for index, path in enumerate(self.model.weights):
            field = f"model.weights[{index}]"
            if path not in paths:
                raise InvalidInput.of_field(field, "is not a file of the package", reason="MISSING_FILE")
            directory, name = posixpath.split(path)
            if directory != posixpath.dirname(self.model.file) or name in _MODEL_NAMES:
                raise InvalidInput.of_field(field, "must lie next to the model and not be named as one")

    def _check_names(self) -> None:
        check_name(self.name)
        for field, specs in (("inputs", self.inputs), ("outputs", self.outputs)):
            names = [spec.name for spec in specs]
            for index, name in enumerate(names):
                if name in names[:index]:
                    raise InvalidInput.of_field(f"{field}[{index}].name", "is used twice")
        for index, output in enumerate(self.outputs):
            self._check_unbatched(output, f"outputs[{index}]")
        if self.preprocess is not None and not self.golden:
            raise InvalidInput.of_field(
                "golden",
                "is missing",
                fix="A model with a pipeline needs at least one sample with the right answer; see docs on packages.",
            )
        for index, sample in enumerate(self.golden):
            self._check_golden(sample, f"golden[{index}]")
        if self.cache.tensors and self.preprocess is None:
            raise InvalidInput.of_field("cache.tensors", "is true, but there is no pipeline that makes tensors")

    def _check_unbatched(self, output: OutputSpec, field: str) -> None:
        if output.batched:
            return
        if self.max_batch_size != 1:
            fix = "Say max_batch_size: 1, or export the model with a batch dimension in all outputs."
            raise InvalidInput.of_field(f"{field}.batched", "is false, so the model takes one input at a time", fix=fix)
        if len(output.shape) < 2:
            fix = "Give its shape with the batch, which is -1, first, as callers get it."
            raise InvalidInput.of_field(f"{field}.shape", "has no dimension beside the batch", fix=fix)

    def _check_golden(self, sample: Golden, field: str) -> None:
        known = set(self.preprocess.inputs) if self.preprocess else {spec.name for spec in self.inputs}
        for name in sample.inputs:
            if name not in known:
                raise InvalidInput.of_field(f"{field}.inputs.{name}", "is not an input of the model's pipeline")
        for name in sample.expect.outputs:
            if name not in {spec.name for spec in self.outputs}:
                raise InvalidInput.of_field(f"{field}.expect.outputs.{name}", "is not an output of the model")
        meant = {"label": sample.expect.label, "text": sample.expect.text, "boxes": sample.expect.boxes or None}
        for kind in (kind for kind, expected in meant.items() if expected is not None and self.postprocess is None):
            raise InvalidInput.of_field(f"{field}.expect.{kind}", f"needs a postprocess section that gives {kind}")
        if set(meant.values()) == {None} and not sample.expect.outputs:
            raise InvalidInput.of_field(f"{field}.expect", "must name a label, a text, boxes or outputs")
