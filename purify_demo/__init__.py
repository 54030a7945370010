"""Generator of the demo set: drawn portraits of invented people, under partly wrong labels."""

from purify_demo.dataset import DemoSet, write_demo
from purify_demo.plan import DemoSpec

__all__ = ["DemoSet", "DemoSpec", "write_demo"]
