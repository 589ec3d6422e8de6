"""What the numbered scripts do alike."""
