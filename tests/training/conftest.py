from tests.source_folder import source_folder  # noqa: F401 (a fixture)
