"""Bridges between Farback's environments and those of other libraries."""
