"""Sub-center ArcFace dataset purification: from a noisy set of faces to a cleaned one, with proof.

Every stage is one function that takes what the stage before it returned. This module imports nothing
heavy; import the stage that you need, such as ``purify.analysis.verdicts``.
"""

__version__ = "0.1.0"
