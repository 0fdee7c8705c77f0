"""Lepton: train, optimise, pack, push, deploy and call models on a served, traced, self-healing platform."""
