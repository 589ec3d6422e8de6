"""From photo files to the crops that a net is fed."""
