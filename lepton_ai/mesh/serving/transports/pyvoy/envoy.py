"""Envoy's configuration: one listener with limits like those of grpc.aio's server, and this service behind it."""

from __future__ import annotations

import json
import math
from typing import Any

from lepton_ai.mesh.serving.transports.pyvoy.wire import CALL_ID
from lepton_ai.mesh.settings import PublicSettings, TlsFiles

Config = dict[str, Any]

STATS = "public"
"""What Envoy's counters of the port begin with."""

_APPLICATION = "lepton_ai.mesh.serving.transports.pyvoy.embedded:application"
_TYPES = "type.googleapis.com/envoy"
_HTTP = f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

_MAX_HEADERS_KIB = 16
"""As grpc.aio's server has it."""
_WINDOW_UPDATES_PER_DATA_FRAME = 1000
"""Envoy's 10 are too few: a frame holds hundreds of small answers of a stream, and gRPC's client sends an update for
every few of them that it has read. Over the bound Envoy resets the connection."""
_STREAM_WINDOW_BYTES = 1 << 20
_CONNECTION_WINDOW_BYTES = 16 << 20
"""What a client may send before it is read: on one call, and on all calls of a connection together."""
_BUFFER_BYTES = 1 << 20
"""What waits for a client that does not read, on one connection, before answers wait in their handlers."""
_MAX_CONNECTIONS = 10_000
_HEADERS_TIMEOUT_S = 10
"""From the first byte of a call's headers to the last."""
_HANDSHAKE_TIMEOUT_S = 10
_FLUSH_TIMEOUT_S = 30
"""How long the rest of an answered call may wait for a client that does not read."""
_PING_INTERVAL_S, _PING_TIMEOUT_S = 60, 20
"""Notices clients that vanished without closing."""
GO_AWAY_S = 0.1
"""Between the GOAWAY that asks a client to send no new calls and the one that says which ones will be answered."""
_DRAIN_MARGIN_S = 5.0
_MAX_EARLY_RESETS = 10_000
"""Calls of one connection of which more than half may be cancelled within a second before it is closed. Callers with
short deadlines do that to a busy service, so it is not as strict as Envoy's own limit of 500."""
_RELEASED_BYTES_PER_S = 4 << 20
"""Memory that the process has freed and does not use again within seconds goes back to the kernel at this rate: slow
enough to cost a busy service nothing, and a burst of photos is forgotten within half a minute."""
_CALLS_PER_TURN = 20
"""Calls that are taken from one connection before others have their turn."""


def bootstrap(settings: PublicSettings, *, ip: str, module: str, admin_socket: str, gone_pipe: int) -> Config:
    """The whole configuration. `ip` is the host's, `module` pyvoy's library, `admin_socket` the path at which Envoy
    takes orders, and `gone_pipe` the file descriptor that gets the id of every call whose client leaves."""
    return {
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": 0o600}}},
        "static_resources": {"listeners": [_listener(settings, ip, module, gone_pipe)]},
        "memory_allocator_manager": {"bytes_to_release": _RELEASED_BYTES_PER_S, "memory_release_interval": "1s"},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPES}.extensions.resource_monitors"
                        ".downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": _MAX_CONNECTIONS,
                    },
                }
            ]
        },
        "layered_runtime": {
            "layers": [
                {
                    "name": "limits",
                    "static_layer": {
                        "overload.premature_reset_total_stream_count": _MAX_EARLY_RESETS,
                        "http.max_requests_per_io_cycle": _CALLS_PER_TURN,
                    },
                }
            ]
        },
    }


def arguments(config: Config, settings: PublicSettings) -> list[str]:
    """Envoy's command line, without the program."""
    log_format = _JSON_LOG if settings.log_format == "json" else _TEXT_LOG
    return [
        *("--config-yaml", json.dumps(config)),
        *("--concurrency", "1"),
        "--disable-hot-restart",  # it would leave shared memory behind when killed
        *("--drain-strategy", "immediate"),
        *("--drain-time-s", str(math.ceil(settings.drain_s + _DRAIN_MARGIN_S))),
        # Ids of calls whose clients have left are written at once rather than every ten seconds.
        *("--file-flush-min-size-kb", "0"),
        *("--log-level", "warning"),
        *("--log-format", log_format),
    ]


_TEXT_LOG = "%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ envoy %j (envoy.%n)"
_JSON_LOG = (
    '{"time": "%Y-%m-%dT%H:%M:%S.%eZ", "level": "%l", "service": "envoy", "logger": "envoy.%n", "message": "%j"}'
)


def _listener(settings: PublicSettings, ip: str, module: str, gone_pipe: int) -> Config:
    # "::" is every address, as it is for gRPC, and not only those of IPv6.
    addresses: list[Config] = [
        {"socket_address": {"address": ip, "port_value": port, "ipv4_compat": ip == "::"}} for port in settings.ports
    ]
    return {
        "name": "public",
        "address": addresses[0],
        "additional_addresses": [{"address": address} for address in addresses[1:]],
        # Workers share a port; other processes would do so silently.
        "enable_reuse_port": settings.worker is not None,
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {"@type": f"{_HTTP}", **_http(settings, module, gone_pipe)},
                    }
                ],
                **_tls(settings.tls()),
            }
        ],
    }


def _tls(files: TlsFiles | None) -> Config:
    if files is None:
        return {}
    common: Config = {
        "alpn_protocols": ["h2"],
        "tls_certificates": [
            {"certificate_chain": {"filename": str(files.cert)}, "private_key": {"filename": str(files.key)}}
        ],
    }
    if files.client_ca is not None:
        common["validation_context"] = {"trusted_ca": {"filename": str(files.client_ca)}}
    return {
        "transport_socket_connect_timeout": f"{_HANDSHAKE_TIMEOUT_S}s",
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": common,
                "require_client_certificate": files.client_ca is not None,
            },
        },
    }


def _http(settings: PublicSettings, module: str, gone_pipe: int) -> Config:
    return {
        "codec_type": "HTTP2",
        "stat_prefix": STATS,
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "max_request_headers_kb": _MAX_HEADERS_KIB,
        "request_headers_timeout": f"{_HEADERS_TIMEOUT_S}s",
        # Streams may be silent for as long as they like; what a client does not read, may not wait for ever.
        "stream_idle_timeout": "0s",
        "stream_flush_timeout": f"{_FLUSH_TIMEOUT_S}s",
        "drain_timeout": f"{GO_AWAY_S}s",
        "http2_protocol_options": {
            "max_concurrent_streams": settings.max_concurrent_streams,
            "initial_stream_window_size": _STREAM_WINDOW_BYTES,
            "max_inbound_window_update_frames_per_data_frame_sent": _WINDOW_UPDATES_PER_DATA_FRAME,
            "initial_connection_window_size": _CONNECTION_WINDOW_BYTES,
            "connection_keepalive": {"interval": f"{_PING_INTERVAL_S}s", "timeout": f"{_PING_TIMEOUT_S}s"},
        },
        "early_header_mutation_extensions": [_call_ids()],
        "access_log": [_gone_log(gone_pipe)],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"]}]},
        "http_filters": [_application(module)],
    }


def _call_ids() -> Config:
    """Names every call."""
    return {
        "name": "call ids",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [
                {
                    "append": {
                        "header": {"key": CALL_ID.decode(), "value": "%UNIQUE_ID%"},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }
                }
            ],
        },
    }


def _gone_log(gone_pipe: int) -> Config:
    """Writes the name of every call that ended without a status of ours.

    ASGI tells of a client that leaves only while its request is still being read, which is over before the work begins.
    """
    return {
        "name": "gone",
        "filter": {"grpc_status_filter": {"statuses": ["UNKNOWN"]}},  # which is also that of calls without a status
        "typed_config": {
            "@type": f"{_TYPES}.extensions.access_loggers.file.v3.FileAccessLog",
            "path": f"/proc/self/fd/{gone_pipe}",
            "log_format": {"text_format_source": {"inline_string": f"%REQ({CALL_ID.decode()})%\n"}},
        },
    }


def _application(module: str) -> Config:
    return {
        "name": "pyvoy",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {"module": {"local": {"filename": module}}},
            "filter_name": "pyvoy",
            "terminal_filter": True,
            "filter_config": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": json.dumps({"app": _APPLICATION, "interface": "asgi", "lifespan": True, "loop": "uvloop"}),
            },
        },
    }
