"""How far does diabetes progress in a year? 442 patients (Efron et al. 2004, in scikit-learn) and boosted trees."""

from __future__ import annotations

from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import train_test_split

from inferq_models.examples.example import SEED, Example

NAME = "diabetes"


def build() -> Example:
    """Rows are an array without names, in the units of the clinic; the target is a number."""
    patients, progression = load_diabetes(return_X_y=True, scaled=False)
    X_train, X_test, y_train, y_test = train_test_split(patients, progression, test_size=0.5, random_state=SEED)
    boosting = GradientBoostingRegressor(n_estimators=100, max_depth=2, learning_rate=0.05, random_state=SEED)
    return Example(NAME, boosting.fit(X_train, y_train), X_train, X_test, y_train, y_test)
