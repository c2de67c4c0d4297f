"""Proves that an installation has all that a worker loads, before it is needed."""

from __future__ import annotations

import io

import boto3
import numpy as np
from PIL import Image

from imagefleet_core.aws import Aws
from imagefleet_worker import startup
from imagefleet_worker.cpus import usable_cpus
from imagefleet_worker.decode import decode
from imagefleet_worker.settings import WorkerSettings


def check(settings: WorkerSettings) -> str:
    """Classify a grey picture and make the clients of AWS; return what works, for people.

    Raises:
        ModelError: the network can't be loaded.
    """
    aws = Aws(boto3.Session(region_name="us-east-1"))
    aws.s3(1), aws.sqs(1)
    cpus = usable_cpus()
    classifier = startup.load_classifier(settings, cpus)
    file = io.BytesIO()
    Image.new("RGB", (640, 480), "grey").save(file, "JPEG")
    pixels = decode(file.getvalue(), classifier.recipe, settings.max_pixels)
    (top,) = classifier.classify(np.stack([pixels]))
    return f"{classifier.model} works with {settings.runtime}: grey is {top[0].label}"
