"""The trace store of the local stack: OTLP in, SQLite inside, Jaeger's query JSON and a waterfall page out.

Run it with `python -m lepton_ai.traces`; the settings are in `settings.py`. It is made for one machine: a
deployment uses Jaeger itself, and everything that reads traces speaks to both in the same way.
"""
