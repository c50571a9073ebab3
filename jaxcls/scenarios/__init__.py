"""What a learner gets to see, when, and with which labels."""
