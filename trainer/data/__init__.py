"""Where training data come from, and whether they are fit to learn from."""

from trainer.data.dataset import Dataset, Part, Split, split_by_time
from trainer.data.simulated import simulated

__all__ = ["Dataset", "Part", "Split", "simulated", "split_by_time"]
