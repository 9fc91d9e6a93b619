"""Normal scores keep their tails where they matter: at one false alarm in a thousand device-days."""

import math

import numpy as np
import pytest
from scipy import stats

from streams.drift.normal import chi_square_score, f_score, student_score, upper_tail

TAILS = [0.1, 1e-2, 1e-4, 1e-6, 1e-8]


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("freedom", [10, 50, 400, 1e9])
def test_student(freedom, tail):
    t = stats.t.isf(tail, freedom)

    score = student_score(np.array(t), np.array(float(freedom)))

    assert stats.norm.logsf(float(score)) == pytest.approx(math.log(tail), rel=0.02)
    assert student_score(np.array(-t), np.array(float(freedom))) == -score


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("freedom", [3, 15, 60])
def test_chi_square(freedom, tail):
    score = chi_square_score(np.array(stats.chi2.isf(tail, freedom)), np.array(float(freedom)))

    told = stats.norm.logsf(float(score))
    # With little freedom the far tail is told as likelier than it is: the quiet side.
    assert 1.005 * math.log(tail) - 0.05 < told < 0.9 * math.log(tail)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("freedom", [(40, 4000), (600, 3000), (600, 400)])
def test_f(freedom, tail):
    ratio = stats.f.isf(tail, *freedom)

    score = f_score(np.array(ratio), *map(np.array, map(float, freedom)))

    assert stats.norm.logsf(float(score)) == pytest.approx(math.log(tail), rel=0.03)


def test_no_freedom_proves_nothing():
    assert chi_square_score(np.array(12.0), np.array(0.0)) == 0


@pytest.mark.parametrize("score", [-6.0, -0.3, 0.0, 0.7, 3.0, 8.0, 20.0])
def test_upper_tail(score):
    assert upper_tail(np.array(score)) == pytest.approx(stats.norm.sf(score), rel=1e-6)
