"""Stands for a package that takes seconds to import."""

CARGO = "lead"
