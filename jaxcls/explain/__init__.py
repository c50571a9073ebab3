"""Saliency and class-activation functions."""
