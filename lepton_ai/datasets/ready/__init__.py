"""Data sets that are at hand without a download: read from installed packages, or drawn or spoken on the spot.

Each is a class: `print(Digits)` tells what it is, `Digits.load()` gives all rows, `Digits.split()` train and test.
Files that a package did not bring are named with `root=`, or lie in LEPTON_DATA_DIR in the set's own folder.
"""

from lepton_ai.datasets.ready.chinese_reviews import ChineseReviews
from lepton_ai.datasets.ready.churn import Churn
from lepton_ai.datasets.ready.digits import Digits
from lepton_ai.datasets.ready.dogs_and_cats import DogsAndCats
from lepton_ai.datasets.ready.fashion_mnist import FashionMNIST
from lepton_ai.datasets.ready.movie_lens import MovieLens
from lepton_ai.datasets.ready.shuttle import Shuttle
from lepton_ai.datasets.ready.spoken_digits import SpokenDigits

__all__ = [
    "ChineseReviews",
    "Churn",
    "Digits",
    "DogsAndCats",
    "FashionMNIST",
    "MovieLens",
    "Shuttle",
    "SpokenDigits",
]
