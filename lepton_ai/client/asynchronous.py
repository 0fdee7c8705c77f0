"""The client for asyncio."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import grpc
import numpy.typing as npt

from lepton_ai.addresses import Addresses, find_addresses
from lepton_ai.client import forking
from lepton_ai.client.batches import Given, all_failed, in_calls, with_failed
from lepton_ai.client.checks import checked_top_k, checked_version, tenant_metadata
from lepton_ai.client.connections import Connections, kind_of
from lepton_ai.client.control.alerts import Alerts
from lepton_ai.client.control.audit import Audit
from lepton_ai.client.control.deployments import Deployment, aliases_of, variant_policy, wait_until_served
from lepton_ai.client.control.drift import Drift
from lepton_ai.client.control.events import Events
from lepton_ai.client.control.measurements import Measurements
from lepton_ai.client.control.questionnaires import Questionnaires
from lepton_ai.client.control.rollouts import Rollouts
from lepton_ai.client.control.signatures import Signatures
from lepton_ai.client.control.versions import Versions
from lepton_ai.client.control.webhooks import Webhooks
from lepton_ai.client.data_plane import DataPlane
from lepton_ai.client.feedback import Feedback
from lepton_ai.client.files.backups import Backups
from lepton_ai.client.files.storage import Storage
from lepton_ai.client.files.transfers import Transfers
from lepton_ai.client.model_inputs import (
    ModelDescription,
    ModelInputs,
    check_some,
    is_table,
    listed_examples,
    table_examples,
)
from lepton_ai.client.patience import PredictItems, predict_parts, predict_patiently
from lepton_ai.client.prediction_calls import PredictionStreams, predict_in_call
from lepton_ai.client.streams import predictions_of
from lepton_ai.credentials import actor_metadata, token_metadata
from lepton_ai.errors import LeptonError
from lepton_ai.prediction import Answer, Input, Prediction, takes_only_a_file, to_item
from lepton_ai.references import check_name, parse_form, parse_model_ref
from lepton_ai.tensors import checked_text, to_proto
from lepton_ai.v1 import (
    common_pb2,
    health_pb2,
    health_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
)

T = TypeVar("T")

Examples = Iterable[Input]
"""Several examples: a list, an array, a series; or a data set or data frame, whose columns are the model's inputs."""

_PAGE_SIZE = 20
"""Models in one answer: few enough for a message, whatever their packages hold."""


class AsyncClient(
    Alerts,
    Audit,
    Backups,
    DataPlane,
    Drift,
    Events,
    Feedback,
    Measurements,
    Questionnaires,
    Rollouts,
    Signatures,
    Storage,
    Transfers,
    Versions,
    Webhooks,
):
    """Talks to a platform from asyncio code. Make one and keep it: it holds the connections.

    In a process that was forked from one in which gRPC ran, it raises FailedPrecondition; `Client` works there.
    """

    def __init__(
        self,
        addresses: Addresses | None = None,
        *,
        timeout_s: float = 30.0,
        trace_ratio: float = 0.0,
        hedging: bool = True,
        tenant: str = "",
        exact: bool = False,
    ) -> None:
        """Without addresses: those in LEPTON_INFERENCE_ADDRESS and its like, else the stack that runs on this machine.
        What changes the registry (push, deploy, undeploy, aliases) needs its token: that of the stack, or LEPTON_TOKEN.

        `trace_ratio` is the share of calls that are traced from here on; others are traced as the platform decides.
        The answer to a traced call and the error of a failed one have its `trace_id`.

        `hedging`: of several inference replicas a second one is asked as well where the first takes longer than 95 % of
        its like, and the first answer counts; at most one prediction in twenty, none when there is too much to do.
        `tenant`: on whose behalf predictions are made, where several share a platform. `exact`: only originals answer,
        whatever variants models let answer in their place.
        """
        forking.check_grpc()
        self.addresses = find_addresses(addresses or Addresses(), environ=os.environ)
        self._proof = token_metadata(self.addresses.token) + actor_metadata(os.environ)
        self._timeout_s = timeout_s
        self._connections = Connections(self.addresses, trace_ratio=trace_ratio, hedging=hedging)
        self._tenant = tenant_metadata(tenant)
        self._exact = exact
        self._streams = PredictionStreams(self._tenant)
        self._model_inputs = ModelInputs()
        forking.leave_to_parent(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections and send the last spans."""
        await self._streams.close()
        await self._connections.close()

    async def predict(
        self,
        model: str,
        value: Input,
        *,
        top_k: int = 0,
        outputs: Sequence[str] = (),
        routing_key: str = "",
        timeout_s: float | None = None,
    ) -> Prediction:
        """The model's answer for one example: a file, bytes, a text, a number, an array or a list of numbers,
        or a mapping of inputs by name.

        `model` is NAME, NAME@VERSION or NAME@ALIAS. A file is a `pathlib.Path` or a `File`; a plain text is its path
        only for a model that takes nothing but a picture or a sound, and never in a mapping.

        A model without labels answers with all its outputs: see `value`, `values` and `outputs` of the prediction. Of
        one with labels, `outputs` asks for some by name as well. `routing_key`, of a user or a session, keeps calls on
        one version while several share the traffic.

        Raises LeptonError: the class says what kind of problem it is.
        """
        options: dict[str, Any] = {"top_k": top_k, "outputs": outputs, "routing_key": routing_key}
        answer = await self.predict_batch(model, [value], timeout_s=timeout_s, **options)
        return answer.predictions[0]

    async def predict_batch(
        self,
        model: str,
        values: Examples,
        *,
        top_k: int = 0,
        outputs: Sequence[str] = (),
        routing_key: str = "",
        timeout_s: float | None = None,
    ) -> Answer:
        """Answers for several examples at once; one that fails has its `error`, the others are answered.

        `values` is a list, a series or an array of examples, or a table: a data set, or a data frame of pandas, Polars
        or Arrow. Of tables, columns that the model does not take are passed over, and lacking one is an error; an
        example given by name may leave inputs out, and is refused with names that the model does not have.

        Many examples go as several calls at the same time, and only the first one's version is told. Raises what a
        whole call fails with, also that with a single example; InvalidInput for what cannot be sent.
        """
        end_s = time.monotonic() + self._timeout(timeout_s)
        if is_table(values):
            examples: list[Any] = list(table_examples(values, await self._described(model, end_s)))
        else:
            examples = listed_examples(values)
        check_some(examples)
        paths = await self._model_inputs.texts_are_paths(model, examples, lambda: self._described(model, end_s))
        parts = list(in_calls([to_item(each, texts_are_paths=paths) for each in examples]))
        predict = self._predicting(model, top_k, outputs, end_s, routing_key=routing_key)
        return await (predict(parts[0]) if len(parts) == 1 else predict_parts(parts, predict, end_s))

    async def predict_many(
        self,
        model: str,
        values: Examples | AsyncIterable[Input],
        *,
        top_k: int = 0,
        outputs: Sequence[str] = (),
        routing_key: str = "",
        timeout_s: float | None = None,
    ) -> AsyncIterator[Prediction]:
        """A stream: answers to any number of examples, in order, with many calls under way and bounded memory.

        `values` is what `predict_batch` takes, or any iterable or asynchronous one, which is read as answers are.
        What cannot be read, sent or answered is a Prediction with its `error`; `timeout_s` is that of each call. Calls
        under way are cancelled when nobody reads on. Raises what asking for the model's description fails with, and
        what `values` raises, after the answers to what came before.
        """
        described = await self.describe(model, timeout_s=timeout_s)
        examples = table_examples(values, described) if is_table(values) else values
        options: dict[str, Any] = {"paths": takes_only_a_file(described.inputs), "top_k": top_k, "outputs": outputs}
        options["routing_key"] = routing_key

        def answer(batch: Sequence[Given]) -> Awaitable[Answer]:
            return self._answer_each(model, batch, timeout_s=timeout_s, **options)

        async for prediction in predictions_of(examples, answer):
            yield prediction

    async def describe(self, model: str, *, timeout_s: float | None = None) -> ModelDescription:
        """What the version that serves `model` takes. Raises NotFound when it is not deployed."""
        return await self._described(model, time.monotonic() + self._timeout(timeout_s))

    async def infer(
        self,
        model: str,
        tensors: Mapping[str, npt.ArrayLike],
        *,
        routing_key: str = "",
        timeout_s: float | None = None,
    ) -> Answer:
        """Run the model on ready tensors, one for each of its inputs, whose first dimension is the batch."""
        request = inference_pb2.PredictRequest(model=parse_model_ref(model))
        request.options.routing_key = checked_text(routing_key, "routing_key")
        request.tensors.extend(to_proto(checked_text(name, "tensors"), array) for name, array in tensors.items())
        return await self._predict(request, self._timeout(timeout_s), streamed=False)

    async def deploy(self, model: str, *, wait_s: float = 60.0, variants: str = "") -> Deployment:
        """Serve a version (NAME: the newest) and wait until predictions work; `wait_s` 0 only asks for it.

        "NAME@VERSION+VARIANT": the variant answers in place of the version, which does until the variant is loaded.
        `variants`: which of its versions' variants may answer from now on, "exact" (none), "auto" or "deadline"; empty:
        as it is. Raises InvalidInput for another policy, FailedPrecondition when the version cannot be served,
        DeadlineExceeded when it takes longer.
        """
        reference, variant = parse_form(model)
        request = registry_pb2.DeployRequest(model=reference, variants=variant_policy(variants), variant=variant)
        asked = await self._registry(
            lambda stub, left_s: stub.Deploy(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )
        deployment = Deployment.of(asked)
        if wait_s > 0:
            await wait_until_served(self._connections, deployment, wait_s)
        return deployment

    async def undeploy(self, model: str) -> None:
        """Take a model out of service; its versions stay in the registry."""
        request = registry_pb2.UndeployRequest(model=check_name(model, field="model"))
        await self._registry(
            lambda stub, left_s: stub.Undeploy(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )

    async def aliases(self, model: str) -> dict[str, int]:
        """The version for every alias of a model. Raises NotFound for a model that does not exist."""
        (found,) = await self.models(check_name(model, field="model"))
        return aliases_of(found)

    async def set_alias(self, model: str, alias: str, version: int) -> dict[str, int]:
        """Let "MODEL@ALIAS" mean this version; calls go to it where it is deployed. Returns all aliases of the model.

        Raises NotFound, InvalidInput.
        """
        request = registry_pb2.SetAliasRequest(model=check_name(model, field="model"), alias=alias)
        request.version = checked_version(version)
        changed = await self._registry(
            lambda stub, left_s: stub.SetAlias(request, timeout=left_s, metadata=self._proof), self._timeout_s
        )
        return aliases_of(changed)

    async def delete_alias(self, model: str, alias: str) -> dict[str, int]:
        """Take an alias away from a model. Returns those it has left; raises NotFound when it has none of this name."""
        request = registry_pb2.DeleteAliasRequest(model=check_name(model, field="model"), alias=alias)
        changed = await self._registry(
            lambda stub, left_s: stub.DeleteAlias(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )
        return aliases_of(changed)

    async def models(self, name: str = "") -> Sequence[registry_pb2.Model]:
        """All models with their versions, or one of them. Raises NotFound for a name that does not exist."""
        request = registry_pb2.ListModelsRequest(name=check_name(name) if name else "", page_size=_PAGE_SIZE)
        models: list[registry_pb2.Model] = []
        while True:
            page = await self._registry(lambda stub, left_s: stub.ListModels(request, timeout=left_s), self._timeout_s)
            models += page.models
            if not page.next_page_token:
                return models
            request.page_token = page.next_page_token

    async def status(self) -> health_pb2.PlatformStatus:
        """What is up, what is served and whether predictions work."""
        request = health_pb2.GetStatusRequest()

        def get(channel: grpc.aio.Channel, left_s: float) -> Awaitable[health_pb2.PlatformStatus]:
            return health_pb2_grpc.HealthServiceStub(channel).GetStatus(request, timeout=left_s)

        return await self._connections.call("health", get, self._timeout_s)

    async def _described(self, model: str, end_s: float) -> ModelDescription:
        request = inference_pb2.DescribeModelRequest(model=parse_model_ref(model))

        async def describe(channel: grpc.aio.Channel, left_s: float) -> ModelDescription:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            return ModelDescription.of(await stub.DescribeModel(request, timeout=left_s))

        def ask() -> Awaitable[ModelDescription]:
            return self._connections.call("inference", describe, end_s - time.monotonic())

        return await self._model_inputs.description(model, ask)

    async def _answer_each(
        self, model: str, batch: Sequence[Given], *, paths: bool, timeout_s: float | None, **options: Any
    ) -> Answer:
        """One call for a part of a stream, whose failure is that of its examples."""
        end_s = time.monotonic() + self._timeout(timeout_s)
        items: list[common_pb2.Item] = []
        failed: dict[int, LeptonError] = {}
        for index, example in enumerate(batch):
            try:
                if isinstance(example, LeptonError):
                    raise example
                items.append(to_item(example, texts_are_paths=paths))
            except LeptonError as error:
                failed[index] = error
        try:
            if not items:
                return all_failed(model, failed.values())
            predict = self._predicting(model, end_s=end_s, streamed=True, **options)
            answer = await predict_patiently(items, predict, end_s)
        except LeptonError as error:
            return all_failed(model, [failed.get(index, error) for index in range(len(batch))])
        return with_failed(answer, failed)

    def _timeout(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s

    def _predicting(
        self,
        model: str,
        top_k: int,
        outputs: Sequence[str],
        end_s: float,
        *,
        streamed: bool = False,
        routing_key: str = "",
    ) -> PredictItems:
        """Calls with these options, for parts of one batch."""
        key = checked_text(routing_key, "routing_key")
        options = inference_pb2.PredictOptions(top_k=checked_top_k(top_k), routing_key=key)
        options.outputs.extend(checked_text(name, "outputs") for name in outputs)
        reference = parse_model_ref(model)

        async def predict(items: Sequence[common_pb2.Item]) -> Answer:
            request = inference_pb2.PredictRequest(model=reference, items=items, options=options)
            return await self._predict(request, end_s - time.monotonic(), streamed=streamed)

        return predict

    async def _predict(self, request: inference_pb2.PredictRequest, timeout_s: float, *, streamed: bool) -> Answer:
        request.options.exact = self._exact
        # Spans of calls are made by interceptors, which see no messages of streams.
        in_stream = streamed and not self._connections.traces

        def predict(channel: grpc.aio.Channel, left_s: float) -> Awaitable[Answer]:
            if in_stream:
                return self._streams.predict(channel, request, left_s)
            return predict_in_call(channel, request, left_s, self._tenant)

        hedge = None if streamed else kind_of(request)
        return await self._connections.call("inference", predict, timeout_s, hedge=hedge)

    async def _registry(
        self,
        invoke: Callable[[registry_pb2_grpc.RegistryServiceAsyncStub, float], Awaitable[T]],
        timeout_s: float,
        *,
        idempotent: bool = True,
    ) -> T:
        def call(channel: grpc.aio.Channel, left_s: float) -> Awaitable[T]:
            return invoke(registry_pb2_grpc.RegistryServiceStub(channel), left_s)

        return await self._connections.call("registry", call, timeout_s, idempotent=idempotent)
