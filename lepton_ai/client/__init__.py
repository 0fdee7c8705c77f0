"""The client of a Lepton platform: push, deploy and predict. `Client` blocks, `AsyncClient` is for asyncio.

with Client() as lepton:
    lepton.push("efficientnet-lite0/")
    lepton.deploy("efficientnet-lite0")
    print(lepton.predict("efficientnet-lite0", "cat.jpg").labels[0].name)
"""

from lepton_ai.client.asynchronous import AsyncClient
from lepton_ai.client.blocking import Client
from lepton_ai.client.control.deployments import Deployment
from lepton_ai.client.model_inputs import ModelDescription

__all__ = ["AsyncClient", "Client", "Deployment", "ModelDescription"]
