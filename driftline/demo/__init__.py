"""The loop, closed once on real servers and told as it happens: what `driftline demo` runs."""

from driftline.demo.story import Story, tell

__all__ = ["Story", "tell"]
