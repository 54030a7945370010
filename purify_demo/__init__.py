"""The demo set: invented people, drawn by code, under labels that are often wrong."""

from purify_demo.dataset import DemoSet, write_demo
from purify_demo.plan import DemoSpec

__all__ = ["DemoSet", "DemoSpec", "write_demo"]
