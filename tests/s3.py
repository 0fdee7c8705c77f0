"""A real S3 for tests: SeaweedFS from its wheel, on ports of loopback, with a bucket and a key that it asks for."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

from obstore.store import S3Store

from lepton_ai.local.programs.ports import PortWish, choose_ports

_START_TIMEOUT_S = 60.0
_SERVERS = ("master", "volume", "filer", "s3")
BUCKET = "models"


@dataclass
class LocalS3:
    """A server that a test may pause."""

    directory: Path
    ports: Mapping[str, int]
    key_id: str = "lepton"
    key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3']}"

    @property
    def environment(self) -> dict[str, str]:
        """What tells a client of S3 where it is."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.key,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        (self.directory / "data").mkdir(exist_ok=True)
        config = self.directory / "s3.json"
        credentials = [{"accessKey": self.key_id, "secretKey": self.key}]
        identity = {"name": "lepton", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
        config.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
        options = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self.directory / 'data'}", f"-s3.config={config}"]
        options += [
            "-filer",
            "-s3",
            "-volume.max=50",
            "-master.volumeSizeLimitMB=64",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]
        for server in _SERVERS:
            options += [f"-{server}.port={self.ports[server]}", f"-{server}.port.grpc={self.ports[f'{server}-grpc']}"]
        program = Path(sys.executable).parent / "weed"
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, f"-logdir={self.directory}", "server", *options], stdout=log, stderr=log, cwd=self.directory
            )
        self._wait()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """It takes connections, and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def object(self, path: str) -> bytes:
        """What is stored, as another client sees it."""
        return bytes(self.store().get(path).bytes())

    def put_object(self, path: str, content: bytes) -> None:
        """Store something past the registry."""
        self.store().put(path, content)

    def store(self) -> S3Store:
        return S3Store(
            BUCKET,
            endpoint=self.endpoint,
            access_key_id=self.key_id,
            secret_access_key=self.key,
            region="us-east-1",
            client_options={"allow_http": True, "timeout": timedelta(seconds=5)},
            retry_config={"max_retries": 0},
        )

    def _wait(self) -> None:
        began_s = time.monotonic()
        while True:
            try:
                self._make_bucket()
                self.put_object("probe", b"it can be written")
            except Exception:
                if time.monotonic() - began_s > _START_TIMEOUT_S:
                    raise
                time.sleep(0.1)
            else:
                self.store().delete("probe")
                return

    def _make_bucket(self) -> None:
        # The filer's own door: making buckets is no part of what the client for objects can do.
        url = f"http://127.0.0.1:{self.ports['filer']}/buckets/{BUCKET}/"
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=5).close()
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.CONFLICT:  # it is there already
                raise


@contextmanager
def running_s3() -> Iterator[LocalS3]:
    """A server with an empty bucket."""
    names = [name for server in _SERVERS for name in (server, f"{server}-grpc")]
    with tempfile.TemporaryDirectory(prefix="lepton-s3-") as directory:
        server = LocalS3(Path(directory), choose_ports(PortWish(name) for name in names))
        try:
            server.start()
            yield server
        finally:
            server.stop()
