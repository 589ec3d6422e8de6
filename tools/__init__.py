"""The tools: doors to the library, each a command; installed as the package `whales_tools`."""
