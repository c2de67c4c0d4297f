"""Proves that an installation has all that a worker loads, before it is needed."""

from __future__ import annotations

import io
import json

import boto3
from PIL import Image

from imagefleet_core.aws import Aws
from imagefleet_worker import processors
from imagefleet_worker.cpus import usable_cpus
from imagefleet_worker.decode import decode
from imagefleet_worker.processors import Outcome
from imagefleet_worker.settings import WorkerSettings


def check(settings: WorkerSettings) -> str:
    """Work on a grey picture and make the clients of AWS; return what works, for people.

    Raises:
        ProcessorError: the user's own class can't be loaded or used.
        ModelError: the network can't be loaded.
    """
    aws = Aws(boto3.Session(region_name="us-east-1"))
    aws.s3(1), aws.sqs(1)
    processor = processors.load(settings, usable_cpus())
    processor.warm_up()
    file = io.BytesIO()
    Image.new("RGB", (640, 480), "grey").save(file, "JPEG")
    (outcome,) = processor.process([decode(file.getvalue(), processor.recipe, settings.max_pixels)])
    means = "" if settings.processor else f" with {settings.runtime}"
    return f"{processor.name} works{means}: a grey picture {_said(outcome)}"


def _said(outcome: Outcome) -> str:
    if outcome.error:
        return f"is rejected as {outcome.error.code}: {outcome.error.message}"
    if outcome.output is not None:
        return f"gives {json.dumps(outcome.output, ensure_ascii=False)}"
    return f"is {outcome.top[0].label}"
