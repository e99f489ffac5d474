"""Comparisons: samplerkit's backends, the bare loop that limits them, and other ways to get samples."""
