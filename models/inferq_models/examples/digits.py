"""Which digit is it? 1,797 handwritten digits of 8 by 8 pixels (UCI, in scikit-learn) and a random forest."""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from inferq_models.examples.example import SEED, Example

NAME = "digits"


def build() -> Example:
    """100 trees on one half of the digits; each digit is in both halves equally often."""
    pixels, digit = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(pixels, digit, test_size=0.5, stratify=digit, random_state=SEED)
    forest = RandomForestClassifier(n_estimators=100, random_state=SEED).fit(X_train, y_train)
    return Example(NAME, forest, X_train, X_test, y_train, y_test)
