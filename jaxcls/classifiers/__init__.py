"""Closed-form classifiers on frozen features."""
