"""Logs in at an etcd that requires it, and turns that requirement on in an etcd that lets in everybody.

etcd gives a token for a password. It forgets tokens when it restarts and some minutes after their last use; then this
process asks for a new one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
from aetcd import rpc

from lepton_ai.credentials import Metadata
from lepton_ai.mesh.discovery.login import EtcdLogin

_OLD_REVISION = "revision of auth store is old"
_STEP_TIMEOUT_S = 5.0
_ROOT = "root"
_ROLE = "lepton"
_FIRST_KEY, _END_OF_KEYS = b"/lepton/", b"/lepton0"
_log = logging.getLogger(__name__)


class EtcdAccess:
    """The token of one connection's login. Without a login, calls carry no token."""

    def __init__(self, login: EtcdLogin | None) -> None:
        self._login = login
        self._token = ""
        self._logging_in: asyncio.Task[None] | None = None

    async def proof(self, channel: grpc.aio.Channel) -> Metadata:
        """What a call must carry. Raises AioRpcError when etcd does not let this user in, or does not answer."""
        if self._login is None:
            return ()
        if not self._token:
            if self._logging_in is None or self._logging_in.done():
                self._logging_in = asyncio.create_task(self._renew(channel, self._login), name="etcd login")
                # Fetch its error, since it may fail when nobody waits for it any more.
                self._logging_in.add_done_callback(lambda task: task.cancelled() or task.exception())
            # Checking a password is slow on purpose: a caller that gives up leaves the login running for the next ones.
            await asyncio.shield(self._logging_in)
        return (("token", self._token),)

    async def _renew(self, channel: grpc.aio.Channel, login: EtcdLogin) -> None:
        self._token = await _log_in(rpc.AuthStub(channel), login)

    def heard(self, error: grpc.aio.AioRpcError) -> bool:
        """Whether this call failed because etcd had forgotten the token; if so, the next call asks for a new one."""
        stale = error.code() == grpc.StatusCode.UNAUTHENTICATED or _OLD_REVISION in (error.details() or "")
        forgotten = bool(self._token) and stale
        if forgotten or error.code() == grpc.StatusCode.UNAVAILABLE:
            self.forget()
        return forgotten

    def forget(self) -> None:
        """Log in again before the next call: etcd may have restarted, and if it lost its data it lets in everybody."""
        self._token = ""

    async def close(self) -> None:
        """Give up a login that is under way."""
        if self._logging_in is not None:
            self._logging_in.cancel()
            await asyncio.wait([self._logging_in])


async def _log_in(auth: Any, login: EtcdLogin) -> str:
    request = rpc.AuthenticateRequest(name=login.user, password=login.password)
    try:
        answer = await auth.Authenticate(request, timeout=_STEP_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if not login.root_password or "authentication is not enabled" not in (error.details() or ""):
            raise
        await _close(auth, login)
        answer = await auth.Authenticate(request, timeout=_STEP_TIMEOUT_S)
    return str(answer.token)


async def _close(auth: Any, login: EtcdLogin) -> None:
    """Make etcd require a login from now on: as this user, who may use Lepton's keys, or as root.

    Existing users and roles are deleted first: an interrupted set-up left them, or somebody who wants to come back.
    """
    _log.warning("etcd let in everybody; from now on it requires a login", extra={"user": login.user})

    async def call(method: str, request: Any) -> Any:
        return await getattr(auth, method)(request, timeout=_STEP_TIMEOUT_S)

    for user in (await call("UserList", rpc.AuthUserListRequest())).users:
        await call("UserDelete", rpc.AuthUserDeleteRequest(name=user))
    for role in (await call("RoleList", rpc.AuthRoleListRequest())).roles:
        await call("RoleDelete", rpc.AuthRoleDeleteRequest(role=role))
    keys = rpc.Permission(permType=rpc.Permission.READWRITE, key=_FIRST_KEY, range_end=_END_OF_KEYS)
    for user, password, role in ((_ROOT, login.root_password, _ROOT), (login.user, login.password, _ROLE)):
        await call("RoleAdd", rpc.AuthRoleAddRequest(name=role))
        await call("UserAdd", rpc.AuthUserAddRequest(name=user, password=password))
        await call("UserGrantRole", rpc.AuthUserGrantRoleRequest(user=user, role=role))
    await call("RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name=_ROLE, perm=keys))
    await call("AuthEnable", rpc.AuthEnableRequest())
