"""Optax transformations, schedules and gradient estimators."""
