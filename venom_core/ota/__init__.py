"""Signed updates: what a release is, how it is packed, and who is believed."""
