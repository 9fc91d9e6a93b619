"""The page tells the truth about a training, and nothing on it comes from elsewhere."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from schemas.manifest import ModelKind
from trainer.check import Check
from trainer.models import ALGORITHMS
from trainer.release import Order, train_release
from trainer.report import refusal_page, training_page


class Page(HTMLParser):
    """What is on a page: its open tags, plots and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href")]
        if tag not in ("meta", "line", "rect", "!doctype") and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("line", "rect"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)


@pytest.fixture(scope="module")
def page(trained) -> Page:
    return Page(training_page(trained))


def test_the_page_stands_by_itself(trained, page):
    assert page.open == []
    assert page.links == []
    assert "script" not in page.tags
    assert "url(" not in training_page(trained)


def test_there_is_a_plot_for_each_feature_and_one_of_scores(page):
    assert page.tags.count("svg") == 16 + 1


def test_the_page_says_what_the_bundle_is(trained, page):
    said = " ".join(page.said)

    for fact in (trained.bundle.sha256, trained.bundle.manifest.baseline_id, trained.bundle.manifest.trained_on):
        assert fact in said
    assert f"{trained.quality['recall']:.4g}" in said
    assert f"over {trained.parity.vectors} vectors" in said
    assert "0 decisions changed" in said
    for check in trained.checks:
        assert check.finding in said


def test_bars_are_the_shares_that_were_counted(trained):
    feature = trained.bundle.baseline.features[0]
    figure = re.search(r"<figure><svg[^>]*aria-label=\"temperature\".*?</svg>", training_page(trained)).group()

    heights = [float(height) for height in re.findall(r'class="training"[^>]* height="([\d.]+)"', figure)]

    counts = np.array([count for count in feature.counts if count])
    assert np.corrcoef(heights, counts)[0, 1] > 0.999


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - {"isolation_forest", "foreign"}))
def test_every_algorithm_has_a_page(algorithm, dataset_for, keys):
    data = dataset_for(ALGORITHMS[algorithm].kind)
    trained = train_release(data, Order(model="m", version="1", algorithm=algorithm), [keys.signer])

    page = Page(training_page(trained))

    plots = 32 if ALGORITHMS[algorithm].kind is ModelKind.FORECAST else 17
    assert page.tags.count("svg") == plots


def test_names_are_shown_and_not_obeyed(trained):
    order = replace(trained.order, model="<script>alert(1)")

    assert "<script" not in training_page(replace(trained, order=order))


def test_a_refusal_shows_every_check():
    checks = [Check("enough data", True, "900 vectors"), Check("constant features", False, "heat <never> changes")]

    said = " ".join(Page(refusal_page("m/1", checks, "the data are refused")).said)

    assert "passed" in said
    assert "heat <never> changes" in said
