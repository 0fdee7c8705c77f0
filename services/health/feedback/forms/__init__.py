"""Questionnaires as forms, and what was answered to them."""
