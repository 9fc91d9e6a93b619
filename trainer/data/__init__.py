"""Where training data come from, and whether they are fit to learn from."""

from trainer.data.dataset import Dataset, Part
from trainer.data.simulated import simulated
from trainer.data.splitting import Split, split_by_time

__all__ = ["Dataset", "Part", "Split", "simulated", "split_by_time"]
