"""The multiprocessing backend of samplerkit: logical workers carried by real processes."""
