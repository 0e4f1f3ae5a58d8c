"""Worlds that are seen from within: first-person pictures by ray casting, inside compiled programs."""
