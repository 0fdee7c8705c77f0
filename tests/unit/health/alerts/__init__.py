"""Alerts: their life, who is told, and what is promised of models."""
