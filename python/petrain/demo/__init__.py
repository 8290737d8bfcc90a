"""The main job: train a classifier on real data, compress it under a size budget, and report before and after.

It needs scikit-learn, matplotlib, rich and typer: ``pip install 'petrain[demo]'``. ``petrain demo --help`` shows its
options, docs/demo.md says what it does and what it writes.
"""
