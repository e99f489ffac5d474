"""TensorFlow for carriers whose policy needs it: quiet, on the CPU, with one thread.

Importing this module imports TensorFlow. What is set already, in the environment or by a runtime that gives a
carrier a GPU, stays as it is.
"""

from __future__ import annotations

import importlib
import os

_SETTINGS = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}

for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)

tensorflow = importlib.import_module("tensorflow")
