"""The client for code that is not asyncio."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self, Unpack

import numpy.typing as npt

from lepton_ai.addresses import Addresses, find_addresses
from lepton_ai.client import forking
from lepton_ai.client.asynchronous import Examples
from lepton_ai.client.batches import Given, by_itself
from lepton_ai.client.blocking_feedback import BlockingFeedback
from lepton_ai.client.control.alerts import BlockingAlerts
from lepton_ai.client.control.deployments import Deployment
from lepton_ai.client.control.drift import BlockingDrift
from lepton_ai.client.control.events import BlockingEvents
from lepton_ai.client.control.measurements import BlockingMeasurements
from lepton_ai.client.control.rollouts import Action, PlanOptions
from lepton_ai.client.control.signatures import Key
from lepton_ai.client.engine import Call, ClientOptions, Engine, closed_client, open_engine
from lepton_ai.client.files.backups import BackupSummary
from lepton_ai.client.model_inputs import ModelDescription, is_table, table_examples
from lepton_ai.client.streams import answers_of
from lepton_ai.package.transfer import OnProgress
from lepton_ai.prediction import Answer, Input, Prediction, takes_only_a_file
from lepton_ai.signing.keys import TrustedKeys
from lepton_ai.v1 import health_pb2, inference_pb2, registry_pb2


class Client(BlockingAlerts, BlockingDrift, BlockingEvents, BlockingFeedback, BlockingMeasurements):
    """AsyncClient for code that is not asyncio: every call blocks until it is done. Safe to use from several threads.

    It also works in forked processes, both one that was made before the fork and one that is made after it. Where gRPC
    ran before the fork, the first call starts a process that calls for the forked one, which takes a moment.
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
        """See AsyncClient."""
        found = find_addresses(addresses or Addresses(), environ=os.environ)
        self._options = ClientOptions(found, timeout_s, trace_ratio, hedging, tenant, exact)
        self._engine: Engine | None = open_engine(self._options)
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def addresses(self) -> Addresses:
        """Where this client's platform is."""
        return self._options.addresses

    def close(self) -> None:
        """Close all connections."""
        with forking.process_lock():
            engine, self._engine = self._engine, None
        if engine is not None and self._pid == os.getpid():  # only the process that made it may close it
            engine.close()

    def predict(
        self,
        model: str,
        value: Input,
        *,
        top_k: int = 0,
        outputs: Sequence[str] = (),
        routing_key: str = "",
        timeout_s: float | None = None,
    ) -> Prediction:
        """See AsyncClient.predict."""
        options: dict[str, Any] = {"top_k": top_k, "outputs": outputs, "timeout_s": timeout_s}
        options["routing_key"] = routing_key
        prediction: Prediction = self._run("predict", model, value, **options)
        return prediction

    def predict_batch(
        self,
        model: str,
        values: Examples,
        *,
        top_k: int = 0,
        outputs: Sequence[str] = (),
        routing_key: str = "",
        timeout_s: float | None = None,
    ) -> Answer:
        """See AsyncClient.predict_batch."""
        options: dict[str, Any] = {"top_k": top_k, "outputs": outputs, "timeout_s": timeout_s}
        options["routing_key"] = routing_key
        answer: Answer = self._run("predict_batch", model, values, **options)
        return answer

    def predict_many(
        self,
        model: str,
        values: Examples,
        *,
        top_k: int = 0,
        outputs: Sequence[str] = (),
        routing_key: str = "",
        timeout_s: float | None = None,
    ) -> Iterator[Prediction]:
        """See AsyncClient.predict_many. A generator: when nobody reads on, calls under way are waited for and no more
        are made."""
        options: dict[str, Any] = {"top_k": top_k, "outputs": outputs, "timeout_s": timeout_s}
        options["routing_key"] = routing_key
        for answer in self.answer_many(model, values, **options):
            yield from map(by_itself, answer.predictions)

    def answer_many(self, model: str, values: Iterable[Given], **options: Any) -> Iterator[Answer]:
        """The answers to the calls of `predict_many`, with their versions, timings and traces.

        `values` may hold errors: each is the error of its own prediction.
        """
        described = self.describe(model, timeout_s=options.get("timeout_s"))
        examples = table_examples(values, described) if is_table(values) else values
        paths = takes_only_a_file(described.inputs)

        def answer(batch: Sequence[Given]) -> Answer:
            answered: Answer = self._run("_answer_each", model, batch, paths=paths, **options)
            return answered

        return answers_of(examples, answer)

    def audit(
        self,
        model: str = "",
        *,
        action: str = "",
        actor: str = "",
        since: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[registry_pb2.AuditEntry]:
        """See AsyncClient.audit."""
        options: dict[str, Any] = {"action": action, "actor": actor, "since": since, "limit": limit}
        entries: Sequence[registry_pb2.AuditEntry] = self._run("audit", model, **options)
        return entries

    def verify_audit(self, anchor: str = "") -> registry_pb2.VerifyAuditResponse:
        """See AsyncClient.verify_audit."""
        found: registry_pb2.VerifyAuditResponse = self._run("verify_audit", anchor)
        return found

    def create_webhook(
        self, url: str, events: Sequence[str] = (), *, secret: str = "", description: str = ""
    ) -> registry_pb2.CreateWebhookResponse:
        """See AsyncClient.create_webhook."""
        created: registry_pb2.CreateWebhookResponse = self._run(
            "create_webhook", url, events, secret=secret, description=description
        )
        return created

    def webhooks(self) -> Sequence[registry_pb2.Webhook]:
        """See AsyncClient.webhooks."""
        found: Sequence[registry_pb2.Webhook] = self._run("webhooks")
        return found

    def delete_webhook(self, number: int) -> None:
        """See AsyncClient.delete_webhook."""
        self._run("delete_webhook", number)

    def test_webhook(self, number: int, event: str = "") -> registry_pb2.TestWebhookResponse:
        """See AsyncClient.test_webhook."""
        answer: registry_pb2.TestWebhookResponse = self._run("test_webhook", number, event)
        return answer

    def deliveries(self, number: int, *, limit: int = 100) -> Sequence[registry_pb2.WebhookDelivery]:
        """See AsyncClient.deliveries."""
        found: Sequence[registry_pb2.WebhookDelivery] = self._run("deliveries", number, limit=limit)
        return found

    def back_up(self, path: Path | str, *, on_progress: OnProgress | None = None) -> BackupSummary:
        """See AsyncClient.back_up."""
        summary: BackupSummary = self._run("back_up", path, on_progress=on_progress)
        return summary

    def restore(self, path: Path | str, *, on_progress: OnProgress | None = None) -> registry_pb2.RestoreResponse:
        """See AsyncClient.restore."""
        restored: registry_pb2.RestoreResponse = self._run("restore", path, on_progress=on_progress)
        return restored

    def describe(self, model: str, *, timeout_s: float | None = None) -> ModelDescription:
        """See AsyncClient.describe."""
        described: ModelDescription = self._run("describe", model, timeout_s=timeout_s)
        return described

    def infer(
        self,
        model: str,
        tensors: Mapping[str, npt.ArrayLike],
        *,
        routing_key: str = "",
        timeout_s: float | None = None,
    ) -> Answer:
        """See AsyncClient.infer."""
        answer: Answer = self._run("infer", model, tensors, routing_key=routing_key, timeout_s=timeout_s)
        return answer

    def push(
        self,
        package: Path | str,
        *,
        sign: Key | None = None,
        on_progress: OnProgress | None = None,
        variant_of: str = "",
        variant: str = "",
    ) -> registry_pb2.ModelVersion:
        """See AsyncClient.push."""
        version: registry_pb2.ModelVersion = self._run(
            "push", package, sign=sign, on_progress=on_progress, variant_of=variant_of, variant=variant
        )
        return version

    def archive_version(self, model: str, *, reason: str = "") -> registry_pb2.ModelVersion:
        """See AsyncClient.archive_version."""
        version: registry_pb2.ModelVersion = self._run("archive_version", model, reason=reason)
        return version

    def restore_version(self, model: str, *, reason: str = "") -> registry_pb2.ModelVersion:
        """See AsyncClient.restore_version."""
        version: registry_pb2.ModelVersion = self._run("restore_version", model, reason=reason)
        return version

    def delete_version(self, model: str, *, reason: str = "") -> registry_pb2.ModelVersion:
        """See AsyncClient.delete_version."""
        version: registry_pb2.ModelVersion = self._run("delete_version", model, reason=reason)
        return version

    def find_versions(self, wanted: str = "", *, limit: int = 100) -> Sequence[registry_pb2.ModelVersion]:
        """See AsyncClient.find_versions."""
        found: Sequence[registry_pb2.ModelVersion] = self._run("find_versions", wanted, limit=limit)
        return found

    def set_tags(self, model: str, tags: Mapping[str, str]) -> dict[str, str]:
        """See AsyncClient.set_tags."""
        now: dict[str, str] = self._run("set_tags", model, tags)
        return now

    def pushes(self, model: str = "", *, limit: int = 0) -> Sequence[registry_pb2.Push]:
        """See AsyncClient.pushes."""
        found: Sequence[registry_pb2.Push] = self._run("pushes", model, limit=limit)
        return found

    def sign(self, model: str, key: Key, *, directory: Path | str | None = None) -> registry_pb2.Signature:
        """See AsyncClient.sign."""
        signature: registry_pb2.Signature = self._run("sign", model, key, directory=directory)
        return signature

    def signature(self, model: str) -> registry_pb2.Signature:
        """See AsyncClient.signature."""
        signature: registry_pb2.Signature = self._run("signature", model)
        return signature

    def verify(self, model: str, trusted: TrustedKeys) -> str:
        """See AsyncClient.verify."""
        signer: str = self._run("verify", model, trusted)
        return signer

    def version(self, model: str) -> registry_pb2.ModelVersion:
        """See AsyncClient.version."""
        found: registry_pb2.ModelVersion = self._run("version", model)
        return found

    def download(self, model: str, file: str, path: Path | str) -> Path:
        """See AsyncClient.download."""
        written: Path = self._run("download", model, file, path)
        return written

    def download_package(
        self, model: str, directory: Path | str, *, on_progress: OnProgress | None = None
    ) -> registry_pb2.ModelVersion:
        """See AsyncClient.download_package."""
        version: registry_pb2.ModelVersion = self._run("download_package", model, directory, on_progress=on_progress)
        return version

    def check_storage(self, *, on_progress: OnProgress | None = None) -> Sequence[registry_pb2.StorageFault]:
        """See AsyncClient.check_storage."""
        faults: Sequence[registry_pb2.StorageFault] = self._run("check_storage", on_progress=on_progress)
        return faults

    def deploy(self, model: str, *, wait_s: float = 60.0, variants: str = "") -> Deployment:
        """See AsyncClient.deploy."""
        deployment: Deployment = self._run("deploy", model, wait_s=wait_s, variants=variants)
        return deployment

    def undeploy(self, model: str) -> None:
        """See AsyncClient.undeploy."""
        self._run("undeploy", model)

    def start_rollout(
        self, model: str, percents: Sequence[float] = (), **options: Unpack[PlanOptions]
    ) -> registry_pb2.Rollout:
        """See AsyncClient.start_rollout."""
        rollout: registry_pb2.Rollout = self._run("start_rollout", model, percents, **options)
        return rollout

    def rollouts(self, model: str = "", *, limit: int = 0, decisions: bool = False) -> Sequence[registry_pb2.Rollout]:
        """See AsyncClient.rollouts."""
        found: Sequence[registry_pb2.Rollout] = self._run("rollouts", model, limit=limit, decisions=decisions)
        return found

    def control_rollout(self, model: str, action: Action) -> registry_pb2.Rollout:
        """See AsyncClient.control_rollout."""
        rollout: registry_pb2.Rollout = self._run("control_rollout", model, action)
        return rollout

    def rollback(self, model: str, *, wait_s: float = 0.0) -> Deployment:
        """See AsyncClient.rollback."""
        deployment: Deployment = self._run("rollback", model, wait_s=wait_s)
        return deployment

    def aliases(self, model: str) -> dict[str, int]:
        """See AsyncClient.aliases."""
        found: dict[str, int] = self._run("aliases", model)
        return found

    def set_alias(self, model: str, alias: str, version: int) -> dict[str, int]:
        """See AsyncClient.set_alias."""
        aliases: dict[str, int] = self._run("set_alias", model, alias, version)
        return aliases

    def delete_alias(self, model: str, alias: str) -> dict[str, int]:
        """See AsyncClient.delete_alias."""
        aliases: dict[str, int] = self._run("delete_alias", model, alias)
        return aliases

    def models(self, name: str = "") -> Sequence[registry_pb2.Model]:
        """See AsyncClient.models."""
        found: Sequence[registry_pb2.Model] = self._run("models", name)
        return found

    def paths(self, model: str) -> dict[str, dict[str, Any]]:
        """See AsyncClient.paths."""
        described: dict[str, dict[str, Any]] = self._run("paths", model)
        return described

    def cache_status(self, model: str = "") -> dict[str, inference_pb2.GetCacheStatusResponse]:
        """See AsyncClient.cache_status."""
        found: dict[str, inference_pb2.GetCacheStatusResponse] = self._run("cache_status", model)
        return found

    def clear_cache(self, model: str = "") -> dict[str, int]:
        """See AsyncClient.clear_cache."""
        cleared: dict[str, int] = self._run("clear_cache", model)
        return cleared

    def status(self) -> health_pb2.PlatformStatus:
        """See AsyncClient.status."""
        status: health_pb2.PlatformStatus = self._run("status")
        return status

    def _run(self, method: str, *arguments: Any, on_progress: OnProgress | None = None, **options: Any) -> Any:
        return self._opened().run(Call(method, arguments, options), on_progress)

    def _opened(self) -> Engine:
        """The engine that runs calls; a new one in a forked process, and when the old one is lost."""
        engine = self._engine
        if engine is not None and self._pid == os.getpid() and not engine.is_lost:
            return engine
        with forking.process_lock():
            if self._engine is None:
                raise closed_client()
            if self._pid != os.getpid() or self._engine.is_lost:
                self._engine, self._pid = open_engine(self._options), os.getpid()
            return self._engine
