"""What `fit` and its kin are given: settings, what other libraries call them, weights of rows, callbacks."""
