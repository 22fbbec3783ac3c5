"""Scores files with a downloaded package, by ONNX Runtime alone."""
