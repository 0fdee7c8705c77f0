"""`lepton cache`: what it prints, for people and for programs."""

from __future__ import annotations

import pytest

from lepton_ai.cli.catalogue import cache
from lepton_ai.v1 import inference_pb2

STATUS = inference_pb2.GetCacheStatusResponse(
    max_bytes=1 << 28,
    shared=inference_pb2.SHARED_CACHE_STATE_DOWN,
    caches=[
        inference_pb2.CacheStatus(
            model_name="resnet",
            model_version=3,
            kind="answers",
            on=True,
            reason="inputs repeat: 40% of those sampled",
            lookups=1000,
            local_hits=300,
            shared_hits=50,
            joined=50,
            entries=20,
            bytes=2048,
            capacity_bytes=8 << 20,
            saved_seconds=12.5,
        )
    ],
)


def test_people_see_where_rows_were_found_and_what_that_saved(capsys: pytest.CaptureFixture[str]) -> None:
    cache._print_caches({"127.0.0.1:8500": STATUS})
    printed = capsys.readouterr()
    for shown in ("resnet@3", "on", "1,000", "30.0%", "5.0%", "2.0 KiB of 8.0 MiB", "12.5 s", "inputs repeat"):
        assert shown in printed.out
    assert "Replica" not in printed.out
    assert "does not answer" in printed.err


def test_with_several_replicas_each_row_names_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    cache._print_caches({"a:1": STATUS, "b:2": STATUS})
    printed = capsys.readouterr().out
    assert "Replica" in printed
    assert "b:2" in printed


def test_without_a_model_that_may_be_kept_it_says_how_to_allow_it(capsys: pytest.CaptureFixture[str]) -> None:
    cache._print_caches({"a:1": inference_pb2.GetCacheStatusResponse()})
    assert "cache: {answers: true}" in capsys.readouterr().err


def test_programs_get_numbers() -> None:
    document = cache._document(STATUS)
    (told,) = document["caches"]
    assert (document["shared"], told["model"], told["hit_ratio"], told["saved_seconds"]) == (
        "down",
        "resnet",
        0.4,
        12.5,
    )
