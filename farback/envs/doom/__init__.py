"""Worlds of ViZDoom."""
