"""Says anew what a model file says of itself, without touching a tensor."""
