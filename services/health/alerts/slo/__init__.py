"""What is promised of models, and how fast the budget of failures burns."""
