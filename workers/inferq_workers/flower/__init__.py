"""Flower with a gate in front of everything, and a page of inferq's own. Needs the extra `flower`."""
