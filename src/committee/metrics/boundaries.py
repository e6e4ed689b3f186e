"""Boundaries of regions in label maps, and how many of their pixels two maps have in common."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.integer]

SHARE = 0.0075
"""Distance at which boundaries match, as a share of the diagonal of the image (Csurka et al. 2013)."""


def matched_boundaries(
    predicted: Map, labels: Map, classes: int, share: float = SHARE
) -> NDArray[np.float64]:
    """Return counts of boundary pixels of each class, float64 `[4, C]`.

    A pixel is on the boundary of its class if one of its four neighbors has another class. Ignored pixels
    do not count, neither as pixels nor as neighbors, and neither does the edge of the image.

    Parameters
    ----------
    predicted, labels : int array [H, W]
        Class of each pixel; labels below 0 are ignored.
    classes : int
        Number of classes C.
    share : float
        Distance up to which a pixel matches a boundary, as a share of the diagonal, rounded up to pixels.

    Returns
    -------
    float64 array [4, C]
        Predicted boundary pixels that are near a boundary of the labels, all predicted boundary pixels,
        boundary pixels of the labels that are near a predicted boundary, and all of these.

    References
    ----------
    G. Csurka, D. Larlus, F. Perronnin (2013). What is a good evaluation measure for semantic segmentation?
    British Machine Vision Conference.

    Examples
    --------
    The predicted border is one pixel away from that of the labels, and therefore matches:

    >>> import numpy as np
    >>> from committee.metrics.boundaries import matched_boundaries
    >>> labels, predicted = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    >>> matched_boundaries(predicted, labels, classes=2).tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    known = labels >= 0
    reach = math.ceil(share * math.hypot(*labels.shape))
    places = [_boundary(each, known) for each in (predicted, labels)]
    of_class = [each[place] for each, place in zip((predicted, labels), places, strict=True)]
    counts = np.zeros((4, classes))
    counts[1], counts[3] = (np.bincount(each, minlength=classes) for each in of_class)
    points = [np.argwhere(place) for place in places]
    for index in np.flatnonzero((counts[1] > 0) & (counts[3] > 0)).tolist():
        ours, theirs = (each[found == index] for each, found in zip(points, of_class, strict=True))
        counts[0, index], counts[2, index] = _near(ours, theirs, reach), _near(theirs, ours, reach)
    return counts


def _boundary(classes: Map, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which pixels have a neighbor of another class, both of them known."""
    result = np.zeros(classes.shape, np.bool_)
    for first, second in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = (classes[first] != classes[second]) & known[first] & known[second]
        result[first] |= differ
        result[second] |= differ
    return result


def _near(points: NDArray[np.int64], others: NDArray[np.int64], reach: int) -> int:
    """Return how many points `[P, 2]` have one of the others within reach."""
    from scipy.spatial import cKDTree  # takes 0.1 s

    distance, _ = cKDTree(others).query(points, distance_upper_bound=reach + 1e-6)
    return int(np.isfinite(distance).sum())
