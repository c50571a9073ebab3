"""Mesh, train loop, checkpoints, logging and preflight."""
