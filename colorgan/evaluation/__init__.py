"""Evaluation of predictions: metrics, confidence intervals, image grids. Takes prediction functions, loads no run."""
