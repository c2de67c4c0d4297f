"""What decoding makes and classifiers take."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# uint8 RGB of shape (height, width, 3).
Pixels: TypeAlias = NDArray[np.uint8]
