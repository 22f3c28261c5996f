"""What a docstring says of a default is so."""

import ast
import importlib
import inspect
import pkgutil
import re

import pytest

import helpers


def public_things() -> dict[str, object]:
    """Find the functions and classes of all modules of `helpers`, by name."""
    found = {}
    for module_info in pkgutil.iter_modules(helpers.__path__):
        module = importlib.import_module(f"helpers.{module_info.name}")
        for name, thing in vars(module).items():
            is_own = getattr(thing, "__module__", "") == module.__name__
            if is_own and callable(thing) and not name.startswith("_"):
                found[f"{module_info.name}.{name}"] = thing
    return found


def defaults_said(thing: object) -> dict[str, object]:
    """Read the defaults out of a docstring in numpydoc style."""
    said = {}
    lines = re.findall(r"^ *([\w, ]+) : .*\bdefault (\S+)$", thing.__doc__ or "", re.M)
    for names, value in lines:
        for name in names.split(", "):
            said[name] = ast.literal_eval(value)
    return said


SAID = {name: defaults_said(thing) for name, thing in public_things().items()}


@pytest.mark.parametrize("name", [name for name, said in SAID.items() if said])
def test_defaults_are_what_the_docstring_says(name):
    parameters = inspect.signature(public_things()[name]).parameters
    assert {key: parameters[key].default for key in SAID[name]} == SAID[name]
