"""Measurements of what this project is about, each beside the plain way; see `__main__`."""
