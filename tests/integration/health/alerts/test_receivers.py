"""Every kind of receiver, each a real server on this machine that is spoken to as its service wants it."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import hashlib
import hmac
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from lepton_ai.testing import eventually
from services.health.alerts.grouping import News
from services.health.alerts.memory.clock import Clock
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.memory.records import Alert, AlertState, Delivery
from services.health.alerts.muting import Muting
from services.health.alerts.notify.alertmanager import AlertmanagerMirror
from services.health.alerts.notify.http import HttpSender
from services.health.alerts.notify.message import Writer
from services.health.alerts.notify.outcome import Outcome
from services.health.alerts.notify.sender import NotificationSender
from services.health.alerts.receivers import Receiver
from tests.certificates import certificate
from tests.receiver import Receiver as Server
from tests.receiver import receiving

# apprise imports what Python 3.13 no longer has, where it has it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

SUMMARY = "Model 猫狗 does not answer rightly."
CLOCK = Clock()


def alert(**labels: str) -> Alert:
    now = CLOCK.now()
    said = {"alertname": "ModelDown", "severity": "page", "model": "cats", **labels}
    state = AlertState.FIRING
    return Alert(
        id="f" * 16, labels=said, annotations={"summary": SUMMARY}, judge="j", state=state, began=now, fired=now
    )


async def send(directory: Path, kind: str, url: str, *, secret: str | None = None, alerts: int = 1) -> Outcome:
    """Tell a receiver that something is wrong."""
    receiver = Receiver.model_validate({"name": "ops", "kind": kind, "url": url, "secret": secret})
    now = CLOCK.now()
    news = News(receiver, "ModelDown/cats", "firing", [alert(part=str(each)) for each in range(alerts)], [])
    document = Writer(now).write(news)
    delivery = Delivery(
        id="d" * 32, receiver="ops", group=news.group, reason="firing", document=document, created=now, due=now
    )
    ledger = Ledger(directory / "alerts.sqlite")
    sender = NotificationSender(ledger, {"ops": receiver}, CLOCK, timeout_s=10.0)
    try:
        return await sender.test(receiver, delivery)
    finally:
        await sender.close()
        await ledger.close()


async def test_a_webhook_gets_what_alertmanager_sends_signed_and_with_its_id(tmp_path: Path) -> None:
    async with receiving() as server:
        assert (await send(tmp_path, "webhook", server.url, secret="s3cret" * 3)).is_delivered
    (request,) = server.received
    document = request.document
    assert document["version"] == "4"
    assert {"groupKey", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "externalURL"} <= {
        *document
    }
    (told,) = document["alerts"]
    assert told["status"] == document["status"] == "firing"
    assert told["annotations"]["summary"] == SUMMARY
    assert told["endsAt"] == "0001-01-01T00:00:00Z"
    assert request.headers["idempotency-key"] == request.headers["webhook-id"] == "d" * 32
    signed = f"{'d' * 32}.{request.headers['webhook-timestamp']}.{request.body.decode()}"
    digest = hmac.new(b"s3cret" * 3, signed.encode(), hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(("status", "error"), [(500, "500"), (404, "404"), (302, "302"), (0, "RemoteProtocolError")])
async def test_a_webhook_that_is_refused_says_so_without_its_address(tmp_path: Path, status: int, error: str) -> None:
    async with receiving() as server:
        server.answers = [status]
        outcome = await send(tmp_path, "webhook", f"{server.url}&key=TOPSECRET")
    assert error in outcome.error
    assert "TOPSECRET" not in outcome.error


class Mailbox:
    """What a real SMTP server has accepted."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.recipients: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.recipients += envelope.rcpt_tos
        return "250 OK"


async def test_e_mail_arrives_with_its_subject_and_text(tmp_path: Path) -> None:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        url = f"mailto://localhost:{controller.port}?smtp=127.0.0.1&from=lepton@example.org&to=ops@example.org"
        outcome = await send(tmp_path, "email", url)
    finally:
        controller.stop()
    assert outcome == Outcome()
    (mail,) = mailbox.mails
    assert mailbox.recipients == ["ops@example.org"]
    assert mail["Subject"] == f"[page] {SUMMARY}"
    text = mail.get_body(("plain", "html")).get_content()
    assert SUMMARY in text
    assert "callers of cats" in text


async def test_a_mail_server_that_is_away_is_an_error_and_is_not_logged_with_its_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"mailto://user:TOPSECRET@localhost:{free_port()}?from=lepton@example.org&to=ops@example.org"
    outcome = await send(tmp_path, "email", url)
    assert "nobody answers" in outcome.error
    assert "TOPSECRET" not in caplog.text


@asynccontextmanager
async def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> AsyncIterator[Server]:
    """A server on this machine that is reached under the real name and port of a service, by TLS that is verified."""
    tls, _ = certificate(tmp_path / "server.pem", host)
    async with receiving(tls=tls) as server:
        resolve = socket.getaddrinfo

        def resolve_here(name: Any, port: Any, *rest: Any, **more: Any) -> Any:
            assert name in (host, "127.0.0.1", "localhost"), f"somebody asks for {name}"
            return (
                resolve("127.0.0.1", server.port, *rest, **more) if name == host else resolve(name, port, *rest, **more)
            )

        monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
        yield server


async def test_slack_gets_its_json_at_the_path_of_its_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_home(tmp_path, monkeypatch, "hooks.slack.com") as server:
        server.body = b"ok"
        url = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
        assert await send(tmp_path, "slack", url) == Outcome()
    (request,) = server.received
    assert request.target == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert SUMMARY in json.dumps(request.document, ensure_ascii=False)
    assert {"text", "attachments", "blocks"} & {*request.document}


async def test_slack_that_refuses_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_home(tmp_path, monkeypatch, "hooks.slack.com") as server:
        server.answers, server.body = [404], b"no_service"
        outcome = await send(tmp_path, "slack", "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXr")
    assert outcome.error
    assert "TIiajk" not in outcome.error


async def test_feishu_gets_a_text_and_its_refusal_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_home(tmp_path, monkeypatch, "open.feishu.cn") as server:
        url = "https://open.feishu.cn/open-apis/bot/v2/hook/0a1b2c3d-4e5f"
        server.body = b'{"code": 0, "msg": "success"}'
        assert await send(tmp_path, "feishu", url) == Outcome()
        server.body = b'{"code": 19024, "msg": "Key Words Not Found"}'
        assert "19024" in (await send(tmp_path, "feishu", url)).error
    request = server.received[0]
    assert request.target.rstrip("/") == "/open-apis/bot/v2/hook/0a1b2c3d-4e5f"
    assert request.document["msg_type"] == "text"
    assert SUMMARY in request.document["content"]["text"]


async def test_dingtalk_gets_a_signed_text_and_its_refusal_is_understood(tmp_path: Path) -> None:
    async with receiving() as server:
        url = f"http://127.0.0.1:{server.port}/robot/send?access_token=abc"
        server.body = b'{"errcode": 0, "errmsg": "ok"}'
        assert (await send(tmp_path, "dingtalk", url, secret="SECabc")).is_delivered
        server.body = b'{"errcode": 310000, "errmsg": "keywords not in content"}'
        assert "310000" in (await send(tmp_path, "dingtalk", url)).error
    signed, plain = server.received
    query = parse_qs(urlsplit(signed.target).query)
    expected = hmac.new(b"SECabc", f"{query['timestamp'][0]}\nSECabc".encode(), hashlib.sha256).digest()
    assert query["sign"] == [base64.b64encode(expected).decode()]
    assert query["access_token"] == ["abc"]
    assert "sign" not in parse_qs(urlsplit(plain.target).query)
    assert signed.document["msgtype"] == "text"
    assert SUMMARY in signed.document["text"]["content"]


async def test_wecom_gets_a_text_that_is_short_enough_and_its_refusal_is_understood(tmp_path: Path) -> None:
    async with receiving() as server:
        url = f"http://127.0.0.1:{server.port}/cgi-bin/webhook/send?key=abc"
        server.body = b'{"errcode": 0, "errmsg": "ok"}'
        assert (await send(tmp_path, "wecom", url, alerts=30)).is_delivered
        server.body = b'{"errcode": 93000, "errmsg": "invalid webhook url"}'
        assert "93000" in (await send(tmp_path, "wecom", url)).error
        server.body = b"<html>"
        assert "cannot be read" in (await send(tmp_path, "wecom", url)).error
    content = server.received[0].document["text"]["content"]
    assert SUMMARY in content
    assert len(content.encode()) <= 2048


async def test_whatever_apprise_knows_can_be_a_receiver(tmp_path: Path) -> None:
    async with receiving() as server:
        assert await send(tmp_path, "apprise", f"json://127.0.0.1:{server.port}/path") == Outcome()
    assert server.received[0].document["title"] == f"[page] {SUMMARY}"
    assert SUMMARY in server.received[0].document["message"]


@pytest.mark.parametrize(("kind", "url"), [("slack", "json://127.0.0.1:1"), ("email", "nonsense"), ("apprise", "x://")])
async def test_a_url_of_another_kind_is_an_error(tmp_path: Path, kind: str, url: str) -> None:
    assert "none of" in (await send(tmp_path, kind, url)).error


@asynccontextmanager
async def alertmanager(directory: Path) -> AsyncIterator[str]:
    """A real Alertmanager and its address."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("no Alertmanager is installed: apt-get install prometheus-alertmanager")
    (directory / "config.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        program, f"--config.file={directory / 'config.yml'}", f"--storage.path={directory / 'data'}",
        f"--web.listen-address={address}", "--cluster.listen-address=",
        stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        await process.wait()


async def test_an_alertmanager_is_shown_what_fires_and_what_is_over(tmp_path: Path) -> None:
    async with alertmanager(tmp_path) as url, httpx.AsyncClient(trust_env=False) as asking:

        async def shown() -> Any:
            return (await asking.get(f"{url}/api/v2/alerts")).json()

        await eventually(lambda: _answers(asking, url), timeout_s=20, description="the Alertmanager answers")
        http = HttpSender(timeout_s=5.0)
        receiver = Receiver.model_validate({"name": "am", "kind": "alertmanager", "url": url})
        mirror = AlertmanagerMirror(receiver, http, CLOCK)
        firing = alert()
        mirror.show([firing], Muting())
        (found,) = await eventually(shown, description="it is shown")
        assert found["labels"] == firing.labels
        assert found["annotations"] == {"summary": SUMMARY}
        assert found["status"]["state"] == "active"
        await eventually(lambda: mirror.last.status == 200, description="that it has arrived is known")
        over = firing.model_copy(update={"state": AlertState.RESOLVED, "resolved": CLOCK.now()})

        async def gone() -> bool:
            mirror.show([over], Muting())
            return not await shown()

        await eventually(gone, timeout_s=10, description="it is over there, too")
        await mirror.close()
        await http.close()


async def _answers(asking: httpx.AsyncClient, url: str) -> bool:
    try:
        answer = await asking.get(f"{url}/-/ready")
    except httpx.HTTPError:
        return False
    is_ready: bool = answer.is_success
    return is_ready


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
