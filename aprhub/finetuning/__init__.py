"""Fine-tuning: training that goes on from a model, on conversations or on text.

Gates, runs and checkpoints are those of pretraining.
"""
