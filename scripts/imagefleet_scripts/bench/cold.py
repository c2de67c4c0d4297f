"""A cold start: from a worker's launch to its first stored result, and the image's size."""

from __future__ import annotations

import argparse
import json
import os
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from docker.errors import DockerException, ImageNotFound, NotFound

from imagefleet_scaler.providers import engine
from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scripts.bench.kit import emulated
from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.bench.kit.figures import Reach, median, rounded
from imagefleet_scripts.bench.kit.options import add_json, positive
from imagefleet_scripts.bench.kit.starts import Start, container_start, process_start

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image

REACH_S = 1.2
COLUMNS = {
    "total_s": "in all",
    "engine_s": "launching",
    "python_s": "Python, imports",
    "loading_s": "until ready",
    "image_s": "first image",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    options = _options(arguments)
    try:
        client = engine.connect(os.environ)
    except ProviderError as error:
        raise BenchError(str(error)) from error
    with closing(client), TemporaryDirectory(prefix="imagefleet-bench-") as folder:
        image, gateway = _image(client, options.image), _gateway(client, options.network)
        with (
            emulated.running() as endpoint,
            emulated.delayed(endpoint, 0, host=gateway) as proxy,
        ):
            reached = f"http://{gateway}:{proxy.port}"
            containers, processes = [], []
            for _ in range(options.starts):
                containers.append(container_start(client, options.image, options.network, reached))
                processes.append(process_start(Path(folder)))
        figures = summary(containers, processes, sizes(image))
    print(report(figures, options))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def summary(
    containers: Sequence[Start], processes: Sequence[Start], image: Mapping[str, float]
) -> dict[str, float]:
    """Return every figure by its name in the JSON file: medians, in seconds and in MB."""
    return {
        **{f"container_{name}": value for name, value in _medians(containers).items()},
        "container_most_s": max(each.total_s for each in containers),
        **{f"process_{name}": value for name, value in _medians(processes).items()},
        **image,
    }


def report(figures: Mapping[str, float], options: argparse.Namespace) -> str:
    """Write all of it for people."""
    kinds = {"container": f"container, network {options.network}", "process": "process"}
    lines = [f"{'seconds to the first stored result':36}" + _row(COLUMNS.values())]
    for kind, about in kinds.items():
        cells = [f"{figures[f'{kind}_{name}']:.2f}" for name in COLUMNS]
        lines.append(f"{about:36}{_row(cells)}")
    return "\n".join(
        [
            *lines,
            f"medians of {options.starts}; the slowest container took "
            f"{figures['container_most_s']:.2f} s",
            f"{options.image}: {figures['image_mb']:.1f} MB on disk, "
            f"{figures['image_gzip_mb']:.1f} MB compressed",
            "",
            str(Reach("container start", figures["container_total_s"], "at most", REACH_S, " s")),
        ]
    )


def sizes(image: Image) -> dict[str, float]:
    """Return an image's size on disk and compressed, in MB of 10^6 bytes."""
    return {
        "image_mb": rounded(image.attrs["Size"] / 1e6),
        "image_gzip_mb": rounded(compressed(image.save(named=True)) / 1e6),
    }


def compressed(chunks: Iterable[bytes]) -> int:
    """Return how many bytes gzip makes of some at its default level."""
    gzip = zlib.compressobj(wbits=31)
    return sum(len(gzip.compress(chunk)) for chunk in chunks) + len(gzip.flush())


def _medians(starts: Sequence[Start]) -> dict[str, float]:
    rows = [asdict(each) for each in starts]
    return {name: median([row[name] for row in rows]) for name in COLUMNS}


def _row(cells: Iterable[str]) -> str:
    return "".join(f"{cell:>17}" for cell in cells)


def _image(client: docker.DockerClient, name: str) -> Image:
    try:
        return client.images.get(name)
    except ImageNotFound as error:
        raise BenchError(
            f"no Docker image is called {name}: `docker compose build worker` makes it"
        ) from error
    except DockerException as error:
        raise BenchError(f"Docker says nothing of {name}: {error}") from error


def _gateway(client: docker.DockerClient, name: str) -> str:
    """Return this machine's own address on a Docker network."""
    try:
        network = client.networks.get(name)
    except NotFound as error:
        raise BenchError(f"no Docker network is called {name}") from error
    configured = network.attrs["IPAM"]["Config"]
    if not configured or "Gateway" not in configured[0]:
        raise BenchError(f"the Docker network {name} has no gateway to reach this machine by")
    return str(configured[0]["Gateway"])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench cold",
        description="Start workers one after the other, each with an image waiting for it: as "
        "containers, launched as the scaler launches them, and as processes, in turn. Prints the "
        "seconds from the launch to the first stored result, by S3's own clock, what they went "
        "into as the worker's log tells, and the size of the worker's image.",
    )
    parser.add_argument(
        "--starts", type=positive, default=7, metavar="N", help="of each kind (default: 7)"
    )
    parser.add_argument(
        "--image", default="imagefleet-worker:latest", help="the image (default: %(default)s)"
    )
    parser.add_argument(
        "--network",
        default="bridge",
        help="the Docker network; the emulator runs on this machine and is reached by the "
        "network's gateway (default: %(default)s)",
    )
    add_json(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
