"""Noise that remembers: readings that follow each other are alike."""

from typing import Final

import numpy as np

from sensing.tally import Floats

__all__ = ["Autoregressive"]

_CHUNK: Final = 128


class Autoregressive:
    """AR(1) noise of unit variance, column by column; `rho` is the correlation of neighbours."""

    def __init__(self, rho: float, columns: int) -> None:
        powers = rho ** np.arange(_CHUNK + 1)
        lag = np.subtract.outer(np.arange(_CHUNK), np.arange(_CHUNK))
        self._response = np.where(lag >= 0, powers[np.maximum(lag, 0)], 0.0) * np.sqrt(1 - rho**2)
        self._decay = powers[1:, None]
        self._last = np.zeros(columns)
        self._begun = False

    def draw(self, rng: np.random.Generator, rows: int) -> Floats:
        """Return the next rows, a whole number of chunks of 128."""
        if rows % _CHUNK:
            raise ValueError(f"{rows} rows are no multiple of {_CHUNK}")
        if not self._begun:
            self._last, self._begun = rng.standard_normal(len(self._last)), True
        shocks = rng.standard_normal((rows // _CHUNK, _CHUNK, len(self._last)))
        noise = np.empty_like(shocks)
        for index, shock in enumerate(shocks):
            noise[index] = self._response @ shock + self._decay * self._last
            self._last = noise[index, -1]
        return noise.reshape(rows, -1)
