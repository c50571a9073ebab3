"""Flax modules with named outputs."""
