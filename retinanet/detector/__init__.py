"""What the detector's stages are made of: geometry, network, photos, training, detections."""
