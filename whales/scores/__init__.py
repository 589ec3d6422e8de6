"""From features to pair scores, and from score matrices to answers."""
