"""What is wrong with a model's files, what would put it right, and putting it right."""
