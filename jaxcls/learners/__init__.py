"""How one batch or one stage changes the parameters."""
