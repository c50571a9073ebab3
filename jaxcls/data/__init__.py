"""Sources, plans, pipelines, augmentation and mixing."""
