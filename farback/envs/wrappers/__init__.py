"""Wrappers: environments made from others."""
