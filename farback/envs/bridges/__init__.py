"""Bridges to the environments of other libraries, and from ours to theirs."""
