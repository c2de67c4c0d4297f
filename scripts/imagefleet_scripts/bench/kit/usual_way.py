"""The usual way of doing this job, as a baseline: one image after the other, in plain boto3.

Receive one message, download, decode in full, prepare with torchvision, classify with eager
ResNet-18, upload the result, delete the message, next. The weights are random, which changes
nothing of the time and makes the labels worthless. Works until it's killed.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence

import boto3
import torch
from PIL import Image
from torchvision import transforms  # type: ignore[import-untyped]
from torchvision.models import ResNet18_Weights, resnet18  # type: ignore[import-untyped]

from imagefleet_core import keys
from imagefleet_core.jobs import JobId


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until killed."""
    parser = argparse.ArgumentParser(description="Classify queued images the usual way.")
    parser.add_argument("--prefix", required=True)
    prefix = parser.parse_args(arguments).prefix

    torch.set_num_threads(1)
    model = resnet18(weights=None).eval()
    labels = ResNet18_Weights.DEFAULT.meta["categories"]
    prepare = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    queue = sqs.get_queue_url(QueueName=f"{prefix}-requests")["QueueUrl"]
    while True:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1, WaitTimeSeconds=5)
        for message in answer.get("Messages", ()):
            request = json.loads(message["Body"])
            if "key" not in request:  # S3's own test event
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                continue
            data = s3.get_object(Bucket=f"{prefix}-input", Key=request["key"])["Body"].read()
            with Image.open(io.BytesIO(data)) as image:
                pixels = prepare(image.convert("RGB"))
            with torch.no_grad():
                scores = torch.softmax(model(pixels[None])[0], dim=0)
            best = scores.topk(5)
            top = [
                {"label": labels[int(index)], "score": float(score)}
                for score, index in zip(best.values, best.indices, strict=True)
            ]
            s3.put_object(
                Bucket=f"{prefix}-results",
                Key=keys.result_key(JobId.parse(request["job"])),
                Body=json.dumps({"job": request["job"], "status": "done", "top": top}),
            )
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    sys.exit(main())
