"""Array programs with kernels."""
