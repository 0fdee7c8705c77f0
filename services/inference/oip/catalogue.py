"""What clients of Triton ask about the models that are served: metadata, configuration, statistics, index."""

from __future__ import annotations

from tritonclient.grpc import service_pb2

from lepton_ai.errors import Unsupported
from services.inference.oip.config import model_config
from services.inference.oip.request import model_ref
from services.inference.oip.response import model_metadata
from services.inference.oip.statistics import model_statistics
from services.inference.predict.runtime import Runtimes
from services.inference.routing.routes import ModelReference, ModelRoutes, Routes


class Catalogue:
    """Answers from the routes of this replica. Raises NotFound for what is not deployed, Unavailable for what does not
    serve now."""

    def __init__(self, routes: Routes, runtimes: Runtimes) -> None:
        self._routes = routes
        self._runtimes = runtimes

    def metadata(self, reference: ModelReference) -> service_pb2.ModelMetadataResponse:
        """Tensors and versions of the model that serves this reference."""
        resolved = self._routes.resolve(reference)
        return model_metadata(self._runtimes.of(resolved.loaded), list(self._model(reference.name).serving))

    def config(self, reference: ModelReference) -> service_pb2.ModelConfigResponse:
        """Its configuration, as Triton would show it if it did what Lepton does."""
        resolved = self._routes.resolve(reference)
        config = model_config(self._runtimes.of(resolved.loaded), list(self._model(reference.name).serving))
        return service_pb2.ModelConfigResponse(config=config)

    def statistics(self, name: str, version: str) -> service_pb2.ModelStatisticsResponse:
        """Of all versions that serve, those of one model, or a single one."""
        if name and version:
            loaded = [self._routes.resolve(model_ref(name, version)).loaded]
        else:
            if name:
                self._routes.resolve(model_ref(name, ""))
            models = [self._model(name)] if name else self._routes.models()
            loaded = [model.serving[number] for model in models for number in sorted(model.serving)]
        return service_pb2.ModelStatisticsResponse(model_stats=map(model_statistics, loaded))

    def index(self, repository: str, *, only_ready: bool) -> service_pb2.RepositoryIndexResponse:
        """Every version that is deployed, with its state. There is a single repository, without a name."""
        if repository:
            raise Unsupported(
                "There are no repositories to choose from.", fix="Leave the repository's name out.", reason="REPOSITORY"
            )
        index = service_pb2.RepositoryIndexResponse()
        for model in self._routes.models():
            for version in sorted({*model.serving, *model.waiting}):
                reason = "" if version in model.serving else model.waiting[version]
                if not (only_ready and reason):
                    index.models.add(name=model.name, version=str(version), state=_state(reason), reason=reason)
        return index

    def _model(self, name: str) -> ModelRoutes:
        return next(model for model in self._routes.models() if model.name == name)


def _state(reason: str) -> str:
    if not reason:
        return "READY"
    return "UNAVAILABLE" if reason.startswith("cannot") else "LOADING"
