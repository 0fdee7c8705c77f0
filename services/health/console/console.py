"""The console of one health service, wired together: its port, its page, and what it shows."""

from __future__ import annotations

from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.serving.advertised import advertised_address, is_loopback
from lepton_ai.mesh.serving.http.server import HttpServer, listen
from lepton_ai.mesh.serving.server import Server
from services.health.console.app import Questions, make_app
from services.health.console.gateway import Gateway, OwnPort
from services.health.console.live import LiveFeed
from services.health.console.topics import topics
from services.health.console.traced import Traced
from services.health.feedback.desk import FeedbackDesk
from services.health.feedback.page import form_app
from services.health.observe.observer import Observer
from services.health.settings import HealthSettings

CONSOLE_ADDRESS = "console"
"""In the metadata of an endpoint: where its console is, host:port."""
_TIMEOUT_S = 5.0


async def add_console(
    server: Server, settings: HealthSettings, observer: Observer, registry: ServicePool, desk: FeedbackDesk
) -> None:
    """Serve the console until `server` closes, where a port is set. Raises FailedPrecondition when that is taken."""
    if settings.console_port is None:
        return
    listener = listen(settings.host, settings.console_port, setting="LEPTON_CONSOLE_PORT")
    own = OwnPort(lambda: server.address, max_message_bytes=settings.max_message_bytes)
    gateway = Gateway(own, registry, timeout_s=_TIMEOUT_S)
    feed = LiveFeed(topics(observer.status, gateway), draining=server.draining)
    questions = Questions(gateway, Traced(settings.traces_url, timeout_s=_TIMEOUT_S), feed, settings.tokens())
    forms = form_app(desk, frame_ancestors=settings.form_frame_ancestors)
    app = make_app(questions, forms, loopback_only=is_loopback(settings.host))
    http = HttpServer(app, drain_s=settings.drain_s)
    await http.start([listener])
    server.advertise(CONSOLE_ADDRESS, _address(settings, listener.getsockname()[1]))

    async def close() -> None:
        await feed.close()
        await http.stop()
        await own.close()

    server.on_close(close)


def _address(settings: HealthSettings, port: int) -> str:
    """HOST:PORT under which browsers elsewhere reach it."""
    named = advertised_address(settings.host, port, settings.advertise_address)
    return f"{named.rpartition(':')[0]}:{port}"
