"""Runs public Chainer repositories as dropped: which scripts, with which tiny data, and what came out."""
