"""Proves that an installation has all that a worker loads, before it is needed."""

from __future__ import annotations

import io
import json
from functools import partial

import boto3
from PIL import Image

from imagefleet_core.aws import Aws
from imagefleet_worker.children.decoders import Decoders
from imagefleet_worker.children.runners import Runner
from imagefleet_worker.memory import MIB
from imagefleet_worker.outcome import Outcome
from imagefleet_worker.settings import WorkerSettings


def check(settings: WorkerSettings, runner: Runner) -> str:
    """Work on a grey picture and make the clients of AWS; return what works, for people.

    Raises:
        ChildLost: the network or the user's own class can't be used; or the picture not decoded.
    """
    aws = Aws(boto3.Session(region_name="us-east-1"))
    aws.s3(1), aws.sqs(1)
    with Decoders(
        count=1,
        max_pixels=settings.max_pixels,
        limit_s=settings.decode_limit_s,
        memory_bytes=64 * MIB,
    ) as decoders:
        processor = runner.await_ready()
        decode = partial(decoders.decode, recipe=processor.recipe)
        (outcome,) = runner.process([decode(_grey_jpeg())])
    means = "" if settings.processor else f" with {settings.runtime}"
    return f"{processor.name} works{means}: a grey picture {_said(outcome)}"


def _grey_jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (640, 480), "grey").save(file, "JPEG")
    return file.getvalue()


def _said(outcome: Outcome) -> str:
    if outcome.error:
        return f"is rejected as {outcome.error.code}: {outcome.error.message}"
    if outcome.output is not None:
        return f"gives {json.dumps(outcome.output, ensure_ascii=False)}"
    return f"is {outcome.top[0].label}"
