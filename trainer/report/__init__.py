"""A training told on one page: self-contained HTML, to be kept beside the bundle."""

from trainer.report.page import refusal_page, training_page

__all__ = ["refusal_page", "training_page"]
