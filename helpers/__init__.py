"""The steps of the notebook, each a short module; each builds on those above it.

audio (a sound), files (read and write), spectrum (the short-time Fourier transform),
estimators and models (regressors), dials (settings that move over time), bins and
frames (the two recipes), gesture (B's loudness and articulation), convolution (from A
and B to the result), montage (what was borrowed, as data), classic (the yardstick),
finishing, scores, gallery (many renders), show (pictures and players).
"""
