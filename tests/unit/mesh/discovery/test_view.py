"""A view believes events and regular lists, and doubts what is missing from the first list after an outage."""

from __future__ import annotations

from lepton_ai.mesh.discovery.view import View


def _view(**entries: bytes) -> View:
    view = View()
    view.relist(entries, after_outage=False)
    return view


def test_events_change_the_view() -> None:
    view = _view(a=b"1", b=b"2")
    view.apply([("a", None), ("c", b"3"), ("b", b"4")])
    assert dict(view.entries) == {"b": b"4", "c": b"3"}


def test_a_regular_list_is_believed() -> None:
    view = _view(a=b"1", b=b"2")
    view.relist({"b": b"2"}, after_outage=False)
    assert dict(view.entries) == {"b": b"2"}


def test_what_is_missing_after_an_outage_stays_until_settled() -> None:
    view = _view(a=b"1", b=b"2")
    view.relist({"b": b"9"}, after_outage=True)
    assert dict(view.entries) == {"a": b"1", "b": b"9"}
    assert view.doubtful == {"a"}
    view.settle()
    assert dict(view.entries) == {"b": b"9"}


def test_what_is_put_again_is_doubted_no_more() -> None:
    view = _view(a=b"1", b=b"2")
    view.relist({}, after_outage=True)
    view.apply([("a", b"1")])
    view.settle()
    assert dict(view.entries) == {"a": b"1"}


def test_a_deletion_that_was_heard_is_believed_at_once() -> None:
    view = _view(a=b"1")
    view.relist({}, after_outage=True)
    view.apply([("a", None)])
    assert not view.entries


def test_a_regular_list_in_between_does_not_end_the_doubt() -> None:
    view = _view(a=b"1", b=b"2")
    view.relist({"b": b"2"}, after_outage=True)
    view.relist({}, after_outage=False)
    assert dict(view.entries) == {"a": b"1"}


def test_a_second_outage_doubts_again() -> None:
    view = _view(a=b"1", b=b"2")
    view.relist({"b": b"2"}, after_outage=True)
    view.relist({"a": b"1"}, after_outage=True)
    assert view.doubtful == {"b"}
