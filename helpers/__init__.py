"""The reusable steps of the notebook, each a short module.

Data flows one way, top to bottom, and a module imports only from those above it:
`audio` (read, check, resample and write sounds), `spectrum` (the short-time Fourier
transform and its inverse), `recipes` (frames to a regression problem and back),
`models` (the catalogue of regressors), `phase` (phase reconstruction), `convolution`
(fit on A, predict B, resynthesise), `mastering` (trim, fades, level), `scores` (how
much of A's timbre and of B's structure a result has), `gallery` (many renders and
their scoreboard) and `plots` (every picture and player).
"""
