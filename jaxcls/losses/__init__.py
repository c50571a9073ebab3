"""Pure objectives: arrays in, per-example arrays out."""
