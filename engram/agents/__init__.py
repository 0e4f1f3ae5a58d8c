"""Algorithms that act and learn."""
