"""The library behind the numbered stages: one noun a module, no stage imported here."""
