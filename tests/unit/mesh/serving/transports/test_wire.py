"""gRPC's bytes on HTTP/2: messages in any pieces, timeouts, metadata, statuses."""

from __future__ import annotations

import itertools

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.mesh.serving.transports.pyvoy.wire import (
    CALL_ID,
    MessageReader,
    Refused,
    frame,
    read_metadata,
    read_timeout,
    status_headers,
    write_metadata,
)

_MAX = 1000


def cut(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(body), *(place % (len(body) + 1) for place in cuts)})
    return [body[start:end] for start, end in itertools.pairwise(places)]


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 10_000), max_size=20))
def test_messages_are_the_same_in_whatever_pieces_they_come(messages: list[bytes], cuts: list[int]) -> None:
    reader, seen = MessageReader(_MAX), []
    for chunk in cut(b"".join(frame(message, _MAX) for message in messages), cuts):
        reader.feed(chunk)
        while (message := reader.take()) is not None:
            seen.append(message)
    assert seen == messages
    assert reader.empty


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        (b"\1\0\0\0\1", grpc.StatusCode.UNIMPLEMENTED),
        (b"\0\0\0\3\xe9", grpc.StatusCode.RESOURCE_EXHAUSTED),
        (b"\0\xff\xff\xff\xff", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["compressed", "one too large", "4 GB"],
)
def test_a_message_is_refused_by_its_prefix(prefix: bytes, code: grpc.StatusCode) -> None:
    reader = MessageReader(_MAX)
    reader.feed(prefix)
    with pytest.raises(Refused) as caught:
        reader.take()
    assert caught.value.code is code


def test_a_large_message_that_comes_in_one_piece_is_not_copied() -> None:
    piece = frame(b"x" * 100_000, 1 << 20)
    reader = MessageReader(1 << 20)
    reader.feed(piece)
    message = reader.take()
    assert isinstance(message, memoryview)
    assert message.obj is piece
    assert message == b"x" * 100_000


def test_half_a_message_is_left_over() -> None:
    reader = MessageReader(_MAX)
    reader.feed(frame(b"abc", _MAX)[:-1])
    assert reader.take() is None
    assert not reader.empty


def test_a_message_over_the_limit_is_not_framed() -> None:
    assert frame(b"x" * _MAX, _MAX)
    with pytest.raises(Refused):
        frame(b"x" * (_MAX + 1), _MAX)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"40m", 0.04), (b"500u", 0.0005), (b"99999999n", 0.099999999)],
)
def test_timeouts(value: bytes, seconds: float) -> None:
    assert read_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"S", b"5", b"-1S", b"1.5S", b"999999999S", b"5s", b" 5S"])
def test_what_is_no_timeout_is_refused(value: bytes) -> None:
    with pytest.raises(Refused):
        read_timeout(value)


@given(st.binary(max_size=60))
def test_bytes_in_metadata_come_back(value: bytes) -> None:
    assert read_metadata(write_metadata([("key-bin", value), ("key", "words")])) == (
        ("key-bin", value),
        ("key", "words"),
    )


def test_metadata_leaves_out_what_belongs_to_the_transport_and_what_is_no_base64() -> None:
    headers = [(b"host", b"x"), (b"te", b"trailers"), (CALL_ID, b"1"), (b"raw-bin", b"***"), (b"a-bin", b"AQ==,Ag")]
    assert read_metadata(headers) == (("a-bin", b"\1"), ("a-bin", b"\2"))


@pytest.mark.parametrize("value", ["a\nb", "ä", "\x7f"])
def test_text_that_no_header_can_hold_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"printable ASCII|ascii"):
        write_metadata([("key", value)])


def test_the_text_of_a_status_is_percent_encoded() -> None:
    assert status_headers(5, "50 % ä\n", [("a", "b")]) == [
        (b"grpc-status", b"5"),
        (b"grpc-message", b"50 %25 %C3%A4%0A"),
        (b"a", b"b"),
    ]
    assert status_headers(0, "", ()) == [(b"grpc-status", b"0")]
