"""The reconciler on a fake Triton: what is deployed gets served, and what serves goes on serving."""

from __future__ import annotations

import logging
import shutil
from functools import partial
from pathlib import Path

import pytest

from lepton_ai.errors import NotFound, Unavailable
from lepton_ai.mesh.discovery.state import DEPLOYMENTS
from lepton_ai.testing import eventually
from tests.replica import Replica, push_versions
from tests.unit.inference.lifecycle.world import World, serves


class TestDeploying:
    async def test_a_deployed_version_is_loaded_served_and_published(self, world: World, replica: Replica) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        assert await replica.ask() == [[1, 3, 5, 7]]  # the fake computes 2·x + 1

        async def published() -> bool:
            (status,) = (await replica.published()).versions
            return (status.model, status.version, list(status.aliases)) == ("doubler", 1, ["production"])

        await eventually(published, description="the replica says that it serves")
        assert (await replica.published()).triton_ready

    async def test_unknown_things_are_not_found_and_say_what_there_is(self, world: World, replica: Replica) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        with pytest.raises(NotFound, match="'cat' is not deployed"):
            replica.loaded("cat")
        with pytest.raises(NotFound, match="Deployed versions: 1"):
            replica.loaded(version=9)
        with pytest.raises(NotFound, match="Deployed aliases: production"):
            replica.loaded(alias="canary")

    async def test_a_version_that_is_still_loading_is_unavailable_with_a_delay(
        self, world: World, replica: Replica
    ) -> None:
        world.triton.kill()
        await world.registry.deploy("doubler", 1)

        def refusal() -> Unavailable:
            with pytest.raises(Unavailable) as caught:
                replica.loaded()
            return caught.value

        await eventually(lambda: "version 1 waits for Triton" in refusal().message, description="it waits")
        assert refusal().retry_after_s

    async def test_aliases_go_to_their_own_versions(self, world: World, replica: Replica) -> None:
        await world.registry.deploy("doubler", 1, 2, production={1: 1}, canary={2: 1})
        await serves(replica, 1)
        await eventually(lambda: replica.loaded(alias="canary").version == 2, description="the canary serves")
        assert replica.loaded(version=2).version == 2

    async def test_two_models_are_served_side_by_side(self, world: World, replica: Replica, tmp_path: Path) -> None:
        push_versions(world.registry, tmp_path / "more", 1, name="another")
        await world.registry.deploy("doubler", 1)
        await world.registry.deploy("another", 1)
        await serves(replica, 1)
        await eventually(lambda: replica.version("another") == 1, description="the other serves too")

    async def test_what_is_not_json_of_ours_changes_nothing(self, world: World, replica: Replica) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        for value in (b"{", b"\xff", b'{"model": "cat"}', b'{"model": 3}'):
            await world.state.put(f"{DEPLOYMENTS}doubler", value)
        await world.state.put(f"{DEPLOYMENTS}../x", b'{"model": "../x"}')
        await world.registry.deploy("doubler", 2)
        await serves(replica, 2)


class TestChanging:
    async def test_the_old_version_serves_until_the_new_one_does(self, world: World, replica: Replica) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        world.triton.break_load("doubler--v2", "no such operator")
        await world.registry.deploy("doubler", 2)
        await eventually(lambda: replica.state_of(2) == "FAILED", description="version 2 fails")
        assert replica.status(2).message == "cannot be loaded: no such operator"
        assert (replica.version(), replica.state_of(1)) == (1, "SERVING")
        with pytest.raises(Unavailable, match="no such operator"):
            replica.loaded(version=2)

        world.triton.mend_load("doubler--v2")
        await serves(replica, 2)
        await eventually(lambda: replica.state_of(1) == "GONE", description="the old one is unloaded")
        assert world.triton.loaded == {"doubler--v2"}

    async def test_a_version_is_unloaded_only_when_its_last_request_is_done(
        self, world: World, replica: Replica
    ) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        with replica.loaded().in_use():
            await world.registry.deploy("doubler", 2)
            await serves(replica, 2)
            await eventually(lambda: replica.state_of(1) == "DRAINING", description="version 1 drains")
            assert "doubler--v1" in world.triton.loaded
        await eventually(lambda: world.triton.loaded == {"doubler--v2"}, description="version 1 is unloaded")

    async def test_draining_has_a_bound(self, world: World) -> None:
        async with world.replica(drain_s=0.05) as replica:
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            with replica.loaded().in_use():
                await world.registry.deploy("doubler", 2)
                await eventually(lambda: world.triton.loaded == {"doubler--v2"}, description="unloaded all the same")

    async def test_a_version_that_is_wanted_again_while_it_drains_comes_back(
        self, world: World, replica: Replica
    ) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        with replica.loaded().in_use():
            await world.registry.deploy("doubler", 2)
            await eventually(lambda: replica.state_of(1) == "DRAINING", description="version 1 drains")
            await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        await eventually(lambda: world.triton.loaded == {"doubler--v1"}, description="only version 1 is left")

    async def test_the_same_number_with_another_package_is_another_version(
        self, world: World, replica: Replica, tmp_path: Path
    ) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        old = replica.loaded()
        world.registry.versions["doubler", 1] = world.registry.versions["doubler", 3]
        await world.registry.deploy("doubler", 1)
        await eventually(
            lambda: replica.version() == 1 and replica.loaded() is not old, description="the new package serves"
        )
        assert replica.loaded().description.description == "version 3"  # type: ignore[attr-defined]


class TestUndeploying:
    async def test_a_deleted_deployment_is_dropped_when_the_registry_agrees(
        self, world: World, replica: Replica
    ) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        await world.registry.undeploy("doubler")
        await eventually(lambda: not world.triton.loaded, description="it is unloaded")
        with pytest.raises(NotFound):
            replica.loaded()

    async def test_a_deployment_without_versions_is_an_undeployment(self, world: World, replica: Replica) -> None:
        world.registry.up = False
        await world.registry.state.put(f"{DEPLOYMENTS}doubler", b'{"model": "doubler", "generation": "3"}')
        await eventually(lambda: replica.routes.models() == [], description="nothing is deployed")
        with pytest.raises(NotFound):
            replica.loaded()

    @pytest.mark.parametrize("registry_is_up", [True, False])
    async def test_a_wiped_store_takes_nothing_out_of_service(
        self, world: World, replica: Replica, registry_is_up: bool
    ) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        world.registry.up = registry_is_up
        world.state.down()
        world.state.up(wiped=True)
        await world.registry.state.put(f"{DEPLOYMENTS}nothing", b'{"model": "nothing"}')
        seen = len(world.triton.requests)
        await eventually(lambda: len(world.triton.requests) > seen + 3, description="probes go on")
        assert await replica.ask() == [[1, 3, 5, 7]]


def _has_only(world: World, name: str) -> bool:
    return world.triton.loaded == {name}


class TestHealing:
    async def test_a_restarted_triton_gets_all_its_models_back(self, world: World, replica: Replica) -> None:
        await world.registry.deploy("doubler", 1, 2, production={1: 1}, canary={2: 1})
        await serves(replica, 1)
        await eventually(lambda: replica.state_of(2) == "SERVING", description="both serve")
        world.triton.kill()
        await eventually(lambda: replica.state_of(1) == "LOADING", description="it is noticed")
        assert not replica.reconciler.serving_state().triton_ready
        world.triton.restart()
        await eventually(lambda: len(world.triton.loaded) == 2, description="both are loaded again")
        await serves(replica, 1)

    async def test_a_restart_between_two_looks_is_noticed_too(self, world: World, replica: Replica) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        world.triton.restart()
        await eventually(lambda: world.triton.loaded == {"doubler--v1"}, description="it is loaded again")
        await serves(replica, 1)

    async def test_a_dead_stub_is_found_by_probes_though_triton_says_ready(
        self, world: World, replica: Replica, caplog: pytest.LogCaptureFixture
    ) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        world.triton.calls.clear()
        world.triton.kill_stub("doubler--v1")
        await eventually(lambda: ("load", "doubler--v1-2") in world.triton.calls, description="it is loaded again")
        await serves(replica, 1)
        assert await replica.ask() == [[1, 3, 5, 7]]
        assert world.restarts == 0
        (warning,) = [each for each in caplog.records if each.levelno == logging.WARNING]
        assert "Version 1 of doubler is loaded anew, as its process in Triton does not answer" in warning.getMessage()

    async def test_a_version_whose_file_the_registry_has_damaged_comes_up_once_that_is_mended(
        self, world: World, replica: Replica
    ) -> None:
        model = world.registry.versions["doubler", 1].files["model.onnx"].sha256
        world.registry.damaged[model] = b"something else"
        await world.registry.deploy("doubler", 1)
        await eventually(lambda: replica.state_of(1) == "FAILED", description="it cannot be fetched")
        assert "is not what was pushed" in replica.status(1).message
        world.registry.damaged.clear()
        await serves(replica, 1)

    async def test_a_report_of_the_data_plane_is_looked_into_at_once(self, world: World) -> None:
        async with world.replica(probe_interval_s=600.0) as replica:
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            loaded = replica.loaded()
            world.triton.kill_stub("doubler--v1")
            with pytest.raises(Unavailable) as caught:
                await replica.ask()
            loaded.report_failure(caught.value)
            await eventually(lambda: ("load", "doubler--v1-2") in world.triton.calls, description="reloaded")
            await serves(replica, 1)

    async def test_a_name_is_loaded_again_only_when_nothing_is_left_of_what_it_named(
        self, world: World, replica: Replica
    ) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        for name, next_one in (("doubler--v1", "doubler--v1-2"), ("doubler--v1-2", "doubler--v1")):
            world.triton.kill_stub(name)
            await eventually(partial(_has_only, world, next_one), description=f"{next_one} only")
            await serves(replica, 1)
            assert await replica.ask() == [[1, 3, 5, 7]]
        files = world.directory / "models"
        await eventually(lambda: {path.name for path in files.iterdir()} == {"doubler--v1"}, description="tidied up")

    async def test_a_version_that_triton_still_takes_apart_is_loaded_under_another_name(
        self, world: World, replica: Replica
    ) -> None:
        world.triton.keep_unloading("doubler--v1")
        for _ in range(2):
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            await world.registry.undeploy("doubler")
            await eventually(lambda: not world.triton.loaded, description="it is unloaded")
        assert [name for call, name in world.triton.calls if call == "load"] == ["doubler--v1", "doubler--v1-2"]

    async def test_a_restarted_service_adopts_a_later_load(self, world: World) -> None:
        async with world.replica() as replica:
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            world.triton.kill_stub("doubler--v1")
            await eventually(lambda: world.triton.loaded == {"doubler--v1-2"}, description="it is loaded again")
            await serves(replica, 1)
        world.triton.calls.clear()
        async with world.replica() as replica:
            await serves(replica, 1)
            assert await replica.ask() == [[1, 3, 5, 7]]
        assert ("load", "doubler--v1-2") not in world.triton.calls
        assert world.triton.loaded == {"doubler--v1-2"}

    async def test_a_stub_that_no_reload_brings_back_costs_triton_a_restart(
        self, world: World, replica: Replica
    ) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        world.triton.kill_stub("doubler--v1", stuck=True)
        await eventually(lambda: world.restarts == 1, description="Triton is restarted")
        await serves(replica, 1)
        assert world.restarts == 1

    async def test_a_version_that_never_served_costs_no_restart(self, world: World, replica: Replica) -> None:
        world.triton.kill_stub("doubler--v2", stuck=True)
        await world.registry.deploy("doubler", 2)
        await eventually(lambda: world.triton.calls.count(("load", "doubler--v2")) >= 3, description="it is retried")
        assert world.restarts == 0

    async def test_a_busy_version_is_not_probed(self, world: World) -> None:
        async with world.replica(probe_interval_s=0.2) as replica:
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            loaded = replica.loaded()
            probes = len(world.triton.requests)

            def work(count: list[int]) -> bool:
                loaded.succeeded()
                count[0] += 1
                return count[0] > 60

            counter = [0]
            await eventually(lambda: work(counter), description="0.6 s of good answers")
            assert len(world.triton.requests) == probes

    async def test_files_that_are_gone_from_the_disk_are_fetched_again(self, world: World, replica: Replica) -> None:
        await world.registry.deploy("doubler", 1)
        await serves(replica, 1)
        shutil.rmtree(world.directory / "models")
        shutil.rmtree(world.directory / "cache" / "packages")
        world.triton.restart()
        await eventually(lambda: (world.directory / "models" / "doubler--v1").is_dir(), description="written again")
        await serves(replica, 1)


class TestRestartingTheService:
    async def test_models_that_triton_has_are_adopted_after_a_probe(self, world: World) -> None:
        async with world.replica() as replica:
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
        world.triton.calls.clear()
        probes = len(world.triton.requests)
        async with world.replica() as replica:
            await serves(replica, 1)
        assert world.triton.calls == []
        assert len(world.triton.requests) > probes

    async def test_models_that_nobody_wants_are_unloaded(self, world: World) -> None:
        await world.triton.load("stranger--v7")
        async with world.replica() as replica:
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            await eventually(lambda: world.triton.loaded == {"doubler--v1"}, description="the stranger is gone")

    async def test_without_etcd_and_registry_it_serves_what_it_remembers(self, world: World) -> None:
        async with world.replica() as replica:
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            await eventually((world.directory / "cache/deployments.json").exists, description="it is remembered")
        world.state.down()
        world.registry.up = False
        world.triton.restart()
        async with world.replica() as replica:
            await serves(replica, 1)
            assert await replica.ask() == [[1, 3, 5, 7]]

    async def test_an_old_version_that_stands_in_for_a_broken_one_survives_the_restart(self, world: World) -> None:
        async with world.replica() as replica:
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            world.triton.break_load("doubler--v2")
            await world.registry.deploy("doubler", 2)
            await eventually(lambda: replica.state_of(2) == "FAILED", description="version 2 fails")
            memory = world.directory / "cache/deployments.json"
            await eventually(lambda: '"version": "2"' in memory.read_text(), description="it is remembered")
        world.triton.restart()
        async with world.replica() as replica:
            await serves(replica, 1)
            world.triton.mend_load("doubler--v2")
            await serves(replica, 2)

    async def test_a_replica_that_has_never_heard_of_anything_says_so(self, world: World) -> None:
        world.state.down()
        async with world.replica() as replica:
            with pytest.raises(Unavailable, match="does not know yet") as caught:
                replica.loaded()
            assert caught.value.reason == "STARTING"
            assert not replica.reconciler.settled
            world.state.up()
            await world.registry.deploy("doubler", 1)
            await serves(replica, 1)
            assert replica.reconciler.settled
