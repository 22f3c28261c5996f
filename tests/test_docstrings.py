"""What a docstring says of parameters and their defaults is so."""

import ast
import importlib
import inspect
import pkgutil
import re

import pytest

import helpers


def public_functions() -> dict[str, object]:
    """Find the functions of all modules of `helpers`, by name."""
    modules = [
        f"helpers.{found.name}" for found in pkgutil.iter_modules(helpers.__path__)
    ]
    return {
        f"{module}.{name}": thing
        for module in modules
        for name, thing in vars(importlib.import_module(module)).items()
        if inspect.isfunction(thing) and thing.__module__ == module and name[0] != "_"
    }


FUNCTIONS = public_functions()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_and_defaults_are_what_the_docstring_says(name):
    text = inspect.getdoc(FUNCTIONS[name])
    assert re.match(r"[A-Z].*\.$", text.splitlines()[0])
    _, _, section = text.partition("\nParameters\n----------\n")
    section = re.split(r"\n\w+\n---", section)[0]
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    more = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    for names, rest in re.findall(r"(?m)^(\w[\w, ]*)(?: :(.*))?$", section):
        for one in names.split(", "):
            assert one in parameters or more
            if one in parameters and (said := re.search(r"\bdefault (\S+)$", rest)):
                assert ast.literal_eval(said[1]) == parameters[one].default
