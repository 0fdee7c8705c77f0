"""Files of versions in S3, or anything with its API: where it is and who asks is in the usual AWS_… variables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.fsspec import FsspecStore

from lepton_ai.errors import FailedPrecondition, Unavailable

_CLIENT = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_RETRIES = {"max_retries": 4, "retry_timeout": timedelta(seconds=20)}


def open_s3(root: str) -> Any:
    """The file system that `root` (BUCKET/PREFIX) is in.

    Raises FailedPrecondition when the bucket is not there or does not let the registry in, Unavailable.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    options = _CLIENT | {"allow_http": endpoint.startswith("http://")}
    config = {"endpoint": endpoint} if endpoint else None
    make: Any = FsspecStore  # its types know nothing of fsspec's own options
    filesystem = make("s3", config=config, client_options=options, retry_config=_RETRIES, skip_instance_cache=True)
    with s3_errors():
        try:
            filesystem.ls(root)
        except FileNotFoundError as error:  # of an empty bucket as well, which says nothing about its bucket
            if "NoSuchBucket" in str(error) or "NoSuchBucket" in str(error.__cause__):
                raise _no_bucket() from error
    return filesystem


@contextmanager
def s3_errors() -> Iterator[None]:
    """Turns what S3 says in the block into errors that say what to do; files that are not there pass."""
    try:
        yield
    except BaseError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise _explain(error) from error


def _explain(error: BaseError) -> FailedPrecondition | Unavailable:
    said = str(error)  # of lists it has no errors but this one
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or "403 Forbidden" in said:
        return FailedPrecondition(
            "S3 does not let the registry in.",
            reason="BLOBS_ACCESS",
            fix="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be of somebody who may list, read, write and delete.",
        )
    if "NoSuchBucket" in said:
        return _no_bucket()
    return Unavailable(
        "The registry's S3 does not answer; nothing was changed.",
        reason="BLOBS_UNAVAILABLE",
        fix="Try again; if it goes on, look whether AWS_ENDPOINT_URL and AWS_REGION are right.",
        retry_after_s=2.0,
    )


def _no_bucket() -> FailedPrecondition:
    return FailedPrecondition(
        "The bucket of LEPTON_BLOBS_URL is not there.", reason="NO_BUCKET", fix="Make it, or name another one."
    )
