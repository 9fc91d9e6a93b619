"""Where training data come from, and whether they are fit to learn from."""

from trainer.data.dataset import Dataset, Split, split_by_time
from trainer.data.simulated import simulated

__all__ = ["Dataset", "Split", "simulated", "split_by_time"]
