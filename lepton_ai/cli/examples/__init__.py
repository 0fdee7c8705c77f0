"""What `lepton predict` sends: files, folders, rows of tables, texts, values given by name, standard input."""

from lepton_ai.cli.examples.example import Example
from lepton_ai.cli.examples.files import file_examples
from lepton_ai.cli.examples.typed import check_texts, typed_example

__all__ = ["Example", "check_texts", "file_examples", "typed_example"]
