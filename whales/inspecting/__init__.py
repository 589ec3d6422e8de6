"""What a file of the pipeline is and whether it is sound; see `inspect_pickle.py`."""
