"""What all pages do alike, and the list of them."""

from whales.files.workspace import name_makers
from whales.stages.pipeline import maker

name_makers(maker)  # so that a missing file's error can say which stage makes it
