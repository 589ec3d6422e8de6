"""What a run of the whole pipeline will take, told before it begins."""
