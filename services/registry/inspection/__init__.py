"""Looks at model files in a child process: are they what the package says, and can they be run?"""
