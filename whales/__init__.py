"""The library behind the numbered stages: one noun a module, no stage imported here."""

import os

# libvips reads it at import. Threads and processes each decode a photo of their own; more threads for one
# photo take a seventh more of the cores' time.
os.environ.setdefault("VIPS_CONCURRENCY", "1")
