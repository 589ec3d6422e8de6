"""The ground floor: what knows no file of the pipeline."""
