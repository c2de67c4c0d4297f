"""What every provider must do, held against the fake one and the real ones alike."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

import docker_engine
import ec2_account
from fake_provider import FakeProvider, Machines
from imagefleet_scaler.providers.base import InstanceState, Provider
from imagefleet_scaler.providers.container_spec import WORKER_LABEL
from imagefleet_scripts import emulator
from imagefleet_scripts.emulator import Emulator
from process_workers import ProcessWorkers
from system import wait_for

SOON_S = 60


@dataclass(frozen=True)
class Place:
    """Where workers run: `open` starts a provider there, `kill` ends a worker from outside."""

    open: Callable[[str], Provider]
    kill: Callable[[str], None]


@pytest.fixture(
    params=[
        "fake",
        "process",
        pytest.param("docker", marks=pytest.mark.docker),
        "moto fleet",
        "moto run",
        pytest.param("ministack fleet", marks=pytest.mark.embedded),
        pytest.param("ministack run", marks=pytest.mark.embedded),
    ],
)
def place(request: pytest.FixtureRequest, fleet: str) -> Iterator[Place]:
    """Each kind of place in turn, empty again in the end."""
    if request.param == "fake":
        machines = Machines()
        yield Place(lambda name: FakeProvider(machines, name), machines.kill)
    elif request.param == "process":
        with ProcessWorkers() as processes:
            yield Place(processes.open, processes.kill)
    elif request.param.startswith("moto"):
        with ec2_account.on_moto() as account:
            yield ec2_place(account, request.param)
    elif request.param.startswith("ministack"):
        ministack: Emulator = request.getfixturevalue("ministack")
        with ec2_account.on_emulator(ministack.environment) as account:
            yield ec2_place(account, request.param)
    else:
        with closing(docker_engine.require_engine()) as engine:

            def kill_container(worker: str) -> None:
                mark = f"{WORKER_LABEL}={worker}"
                (container,) = engine.containers.list(filters={"label": mark})
                container.kill("SIGKILL")

            yield Place(lambda name: docker_engine.provider(engine, name), kill_container)
            for name in (fleet, f"{fleet}-other"):
                docker_engine.remove_fleet(engine, name)


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    started = emulator.start(tmp_path_factory.mktemp("ministack"), keep=False)
    yield started
    started.process.terminate()
    started.process.wait(SOON_S)


def ec2_place(account: ec2_account.Account, kind: str) -> Place:
    by_run = kind.endswith("run")
    image_id = ec2_account.IMAGE if by_run else ""
    return Place(lambda name: account.open(name, by_run=by_run, image_id=image_id), account.kill)


def ids(provider: Provider) -> set[str]:
    return {instance.id for instance in provider.list()}


def wait_until_gone(provider: Provider, gone: set[str]) -> None:
    def are_gone() -> bool:
        provider.sweep()
        return not gone & ids(provider)

    wait_for(are_gone, SOON_S)


def test_what_is_launched_is_listed_at_once(place: Place, fleet: str) -> None:
    provider = place.open(fleet)

    launched = provider.launch(3)

    assert len(set(launched)) == 3
    assert ids(provider) == set(launched)
    assert {instance.state for instance in provider.list()} == {InstanceState.RUNNING}


def test_a_retired_worker_stops_at_once_and_is_soon_gone(place: Place, fleet: str) -> None:
    provider = place.open(fleet)
    going, staying = provider.launch(2)

    provider.retire([going])
    states = {instance.id: instance.state for instance in provider.list()}
    wait_until_gone(provider, {going})

    assert states.get(going, InstanceState.STOPPING) is InstanceState.STOPPING
    assert states[staying] is InstanceState.RUNNING
    assert ids(provider) == {staying}


def test_retiring_twice_does_no_harm(place: Place, fleet: str) -> None:
    provider = place.open(fleet)
    (worker,) = provider.launch(1)

    provider.retire([worker])
    provider.retire([worker])

    wait_until_gone(provider, {worker})


def test_a_restarted_provider_finds_its_workers(place: Place, fleet: str) -> None:
    before = place.open(fleet)
    launched = set(before.launch(2))

    after = place.open(fleet)

    # a process that was just started has nothing that it could be known by yet
    wait_for(lambda: ids(after) == launched, SOON_S)
    after.retire(launched)
    wait_until_gone(after, launched)


def test_a_worker_killed_from_outside_is_gone_from_the_list(place: Place, fleet: str) -> None:
    provider = place.open(fleet)
    killed, alive = provider.launch(2)

    place.kill(killed)

    wait_for(lambda: ids(provider) == {alive}, SOON_S)
    provider.sweep()
    assert ids(provider) == {alive}


def test_two_fleets_do_not_see_each_other(place: Place, fleet: str) -> None:
    ours, theirs = place.open(fleet), place.open(f"{fleet}-other")
    (our_worker,), (their_worker,) = ours.launch(1), theirs.launch(1)

    ours.retire([their_worker])
    ours.sweep()

    assert ids(ours) == {our_worker}
    assert ids(theirs) == {their_worker}
    assert theirs.list()[0].state is InstanceState.RUNNING


def test_nothing_to_do_and_unknown_ids_do_no_harm(place: Place, fleet: str) -> None:
    provider = place.open(fleet)

    assert provider.launch(0) == []
    provider.retire([])
    provider.retire(["worker-nobody"])
    provider.sweep()

    assert provider.list() == []


def test_workers_launched_later_are_younger(place: Place, fleet: str) -> None:
    provider = place.open(fleet)
    (first,) = provider.launch(1)
    (second,) = provider.launch(1)

    launched_at = {instance.id: instance.launched_at for instance in provider.list()}

    assert launched_at[first] <= launched_at[second]


def test_last_words_are_short_and_clean_and_nobody_unknown_has_any(
    place: Place, fleet: str
) -> None:
    provider = place.open(fleet)
    (worker,) = provider.launch(1)

    words = provider.last_words([worker, "worker-nobody"])

    assert set(words) <= {worker}
    assert all(0 < len(text) <= 2000 for text in words.values())
    assert all(char.isprintable() or char == "\n" for text in words.values() for char in text)
    assert provider.last_words([]) == {}
    assert ids(provider) == {worker}


def test_workers_of_the_newest_parts_are_not_outdated(place: Place, fleet: str) -> None:
    provider = place.open(fleet)
    provider.launch(2)

    assert [instance.outdated for instance in provider.list()] == [False, False]
    assert [instance.expected for instance in provider.list()] == [False, False]
