"""Pure rules: plain functions from state to a decision; no clock, no event loop, no Redis."""
