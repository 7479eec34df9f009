"""Models: registered as immutable versions, loaded only when their artifact is proven."""

from inferq_models.registration import register, register_file

__all__ = ["register", "register_file"]
