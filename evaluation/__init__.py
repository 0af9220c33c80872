"""Evaluation: tasks, metrics, discovery methods, scores and runs. Import from the modules."""
