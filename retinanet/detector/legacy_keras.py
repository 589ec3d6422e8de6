"""keras-retinanet 1.0.0 speaks Keras 2: the one place that makes it run on today's TensorFlow.

The library asks TensorFlow for its Keras, and keras-resnet imports plain `keras`; both get
`tf_keras`. That decides for the whole process, so the detector's stages run in processes where
nobody has loaded Keras 3.
"""

import importlib
import logging
import os
import sys
from types import ModuleType

SUBMODULES = (
    "layers",
    "models",
    "backend",
    "regularizers",
    "initializers",
    "applications",
    "utils",
)


def legacy_keras() -> ModuleType:
    """Return `tf_keras`, after pointing `keras` and TensorFlow's Keras at it.

    Raises RuntimeError if Keras 3 is already loaded in this process.
    """
    loaded = sys.modules.get("keras")
    if loaded is not None and loaded.__name__ != "tf_keras":
        raise RuntimeError("RetinaNet needs Keras 2, and this process has already loaded Keras 3")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tf_keras = importlib.import_module("tf_keras")
    # It warns of every model that is saved or loaded without having been trained.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.modules["keras"] = tf_keras
    for name in SUBMODULES:
        sys.modules[f"keras.{name}"] = importlib.import_module(f"tf_keras.{name}")
    return tf_keras
