"""A folder that stands in for a machine, in which the scripts of its user data run."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import cloudformation

# Answers for the secrets of the web host, and nothing else.
AWS_WITH_SECRETS = """\
case "$*" in
  *get-parameters-by-path*) printf "/pix/web/keys.txt\\t/pix/web/privkey.pem" ;;
  *get-parameter*privkey*) echo "a private key" ;;
  *get-parameter*) echo "a hash" ;;
esac
"""


class Machine:
    """A folder that stands in for a machine's root, and programs that note how they are called."""

    def __init__(self, root: Path, template_name: str) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        self.calls = root / "calls"
        self.calls.touch()
        for path, content in cloudformation.files(template_name).items():
            self.write(path, self.inside(content))
        self.write("/var/lib/cloud/data/instance-id", "i-0123456789abcdef0\n")
        (root / "run").mkdir(exist_ok=True)
        for name in ("docker", "aws", "systemctl", "sleep", "chown"):
            self.program(name, "")

    def inside(self, text: str) -> str:
        return re.sub(r"(?<![\w.$])/(etc|run|var|opt|usr/local)/", rf"{self.root}/\1/", text)

    def write(self, path: str, content: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def program(self, name: str, does: str) -> None:
        file = self.bin / name
        file.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >>{self.calls}\n{does}\n')
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def run(self, *command: str) -> int:
        path = f"{self.bin}:{self.root}/usr/local/sbin:{os.environ['PATH']}"
        for script in self.root.glob("usr/local/sbin/*"):
            script.chmod(0o755)
        env = {"PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, env=env, check=False, capture_output=True).returncode

    def called(self, *words: str) -> list[str]:
        lines = self.calls.read_text().splitlines()
        return [line for line in lines if all(word in line for word in words)]


def web_host_at(root: Path) -> Machine:
    """Return a web host."""
    machine = Machine(root, "WebHostTemplate")
    machine.program("install", 'for last; do :; done; mkdir -p "$last"')
    return machine


def unit(machine: Machine, name: str) -> dict[str, str]:
    lines = machine.read(f"etc/systemd/system/{name}").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
