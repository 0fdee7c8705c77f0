"""More calls than the model can answer: what is answered, how soon, and how soon all is well again."""
