"""Whale boxes: a RetinaNet detector trained on first boxes, and the averaged boxes."""
