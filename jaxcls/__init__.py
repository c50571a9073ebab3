"""jaxcls: classifiers for when the textbook's assumptions fail."""
