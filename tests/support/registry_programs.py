"""Stands in for docker, grype and cosign: a registry that is a JSON file.

It never moves a tag unless it is `mutable`, and tells nothing while it is `throttled`.

Run as `registry_programs.py PROGRAM ARGUMENT...`; the file is named by REGISTRY_FILE.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def main(program: str, *arguments: str) -> int:
    """Do what the program would; return its exit status."""
    file = Path(os.environ["REGISTRY_FILE"])
    registry = json.loads(file.read_text())
    status = {"docker": _docker, "grype": _grype, "cosign": _cosign}[program](registry, arguments)
    file.write_text(json.dumps(registry))
    return status


def _docker(registry: dict[str, Any], arguments: tuple[str, ...]) -> int:
    match arguments:
        case "buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", name:
            if registry.get("throttled"):
                return _fail(f"ERROR: {name}: 429 Too Many Requests: not found a moment")
            if name not in registry["tags"]:
                return _fail(f"ERROR: {name}: not found")
            _say({"digest": registry["tags"][name]})
        case "buildx", "imagetools", "create", "--tag", name, *sources:
            if name in registry["tags"] and not registry.get("mutable"):
                return _fail(f"{name}: a tag never changes")
            known = [registry["tags"].get(source, source) for source in sources]
            digest = known[0] if len(known) == 1 else digest_of(*known)
            registry["tags"][name] = digest
        case "buildx", "bake", "--file", "docker-bake.hcl", "--print":
            _say({"target": {target: {} for target in registry["targets"]}})
        case "buildx", "bake", "--file", "docker-bake.hcl", "--metadata-file", metadata, *options:
            if os.environ.get("ATTEST") != "true" or "*.platform=linux/arm64" not in options:
                return _fail(f"built otherwise than expected: {options}")
            made = {t: {"containerimage.digest": digest_of(t)} for t in registry["targets"]}
            Path(metadata).write_text(json.dumps({"buildx.build.ref": "x"} | made))
        case _:
            return _fail(f"docker knows no {arguments}")
    return 0


def _grype(registry: dict[str, Any], arguments: tuple[str, ...]) -> int:
    (file,) = (option[len("sarif=") :] for option in arguments if option.startswith("sarif="))
    Path(file).write_text(json.dumps({"runs": [{"results": []}]}))
    return 2 if arguments[0] in registry["bad"] else 0


def _cosign(registry: dict[str, Any], arguments: tuple[str, ...]) -> int:
    registry["signed"].append(arguments[-1])
    return 0


def digest_of(*contents: str) -> str:
    """Return the digest of something made of other things."""
    return "sha256:" + hashlib.sha256(" ".join(contents).encode()).hexdigest()


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")


def _fail(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
