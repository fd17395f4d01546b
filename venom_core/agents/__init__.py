"""Foreman services: one service a file, leader-gated."""
