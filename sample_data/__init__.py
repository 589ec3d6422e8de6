"""The built-in sample: a small, generated competition of fluke photos, laid out as a work root."""
