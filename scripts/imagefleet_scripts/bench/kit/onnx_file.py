"""Writes the worker's network as an ONNX file, in a process of its own: PyTorch stays in memory."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from imagefleet_scripts.export.efficientnet_lite import efficientnet_lite0
from imagefleet_scripts.export.write import Graph


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file; needs `onnx` and `onnxscript`."""
    parser = argparse.ArgumentParser(description="Export the worker's network to ONNX.")
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)

    network = efficientnet_lite0()
    size = network.recipe.size
    images = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1)
    warnings.simplefilter("ignore")  # about its own insides
    logging.disable(logging.WARNING)
    torch.onnx.export(
        Graph(network).eval(),
        (images,),
        options.file,
        dynamo=True,
        dynamic_shapes={"images": {0: batch}},
        external_data=False,
        verbose=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
