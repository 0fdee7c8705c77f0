"""`lepton feedback` and `lepton questionnaire`."""
