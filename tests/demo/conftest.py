"""The scanner is loaded once, past a warning that is between it and a package of its own."""

from __future__ import annotations

import importlib
import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="The verify_requirements argument", category=DeprecationWarning)
    importlib.import_module("bandit.core.config")
