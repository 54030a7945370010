"""The calibrated model of label noise."""
