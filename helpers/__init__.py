"""The steps of the notebook, each a short module; each builds on those above it.

audio (sounds, in and out), spectrum (the short-time Fourier transform), estimators and
models (regressors), bins and frames (the two recipes), phase (found when lost), gesture
(B's loudness and articulation), blend (from B to a prediction), convolution (from A and
B to the result), classic (the yardstick), mastering (finishing), scores, gallery (many
renders), plots and page (pictures, players and tables).
"""
