"""Rollouts of a model, version 1 the primary and 2 the canary."""

from inferq_core.rollout import WHOLE, Role, Rollout, Variant


def rollout_of(weight, model="digits"):
    return Rollout(model, Variant(Role.PRIMARY, 1, WHOLE - weight), Variant(Role.CANARY, 2, weight), 0.0)
